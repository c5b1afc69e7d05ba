; Blocks whose address leaves, whose size is not known, that are reallocated, that are not freed on every path, or of
; which two live at once, stay on the heap.
; pass: memory escapes
; pass: memory sized
; pass: memory grown
; pass: memory leaked
; pass: memory doubled
; count: 5 call|@malloc
; refuse: alloca
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
declare noalias ptr @malloc(i64) allockind("alloc,uninitialized") allocsize(0) "alloc-family"="malloc"
declare noalias ptr @realloc(ptr allocptr captures(none), i64) allockind("realloc") allocsize(1) "alloc-family"="malloc"
declare void @free(ptr allocptr captures(none)) allockind("free") "alloc-family"="malloc"
declare void @keep(ptr)
declare void @fill(ptr captures(none) nofree) nofree
define void @escapes() {
  %block = call ptr @malloc(i64 64)
  call void @keep(ptr %block)
  call void @free(ptr %block)
  ret void
}
define void @sized(i64 %n) {
  %block = call ptr @malloc(i64 %n)
  call void @fill(ptr %block)
  call void @free(ptr %block)
  ret void
}
define void @grown() {
  %block = call ptr @malloc(i64 64)
  call void @fill(ptr %block)
  %more = call ptr @realloc(ptr %block, i64 128)
  call void @fill(ptr %more)
  call void @free(ptr %more)
  ret void
}
define void @leaked(i1 %yes) {
  %block = call ptr @malloc(i64 64)
  call void @fill(ptr %block)
  br i1 %yes, label %freed, label %done
freed:
  call void @free(ptr %block)
  br label %done
done:
  ret void
}
define void @doubled(i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  %before = phi ptr [ null, %entry ], [ %block, %again ]
  %block = call ptr @malloc(i64 64)
  call void @fill(ptr %block)
  %first = icmp eq i64 %i, 0
  br i1 %first, label %again, label %old
old:
  call void @fill(ptr %before)
  call void @free(ptr %before)
  br label %again
again:
  %next = add i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  call void @free(ptr %block)
  ret void
}
