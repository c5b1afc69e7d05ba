; The same for somebody else's sake: nothing is asked for ahead, and the loop stays small.
; pass: neighbour copy
; count: 1 store|!nontemporal
; refuse: @llvm.prefetch
; count: 1 call|@llvm.x86.sse.sfence
; expect: .peel
; refuse: <4 x double>
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
define void @copy(ptr noalias %out, ptr noalias %in, i64 %n) "target-cpu"="x86-64-v3" "target-features"="+avx2,+sse2" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr double, ptr %in, i64 %i
  %value = load double, ptr %from, align 8
  %twice = fadd double %value, %value
  %to = getelementptr double, ptr %out, i64 %i
  store double %twice, ptr %to, align 8
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  ret void
}
