# The counter of TIDEGATE_WORK: one per link image, which the objects that count define weakly too.
.section .bss.tidegate_work_total,"aw",@nobits
.weak tidegate_work_total
.hidden tidegate_work_total
.type tidegate_work_total, @object
.size tidegate_work_total, 8
.balign 8
tidegate_work_total: .zero 8
.text
