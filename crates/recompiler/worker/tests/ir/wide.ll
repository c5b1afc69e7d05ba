; The first candidate of a contended core: the newer instruction set, at 256 bits, never wider.
; pass: cpu sum
; expect: <4 x i64>
; expect: +avx2
; refuse: <8 x i64>
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
define i64 @sum(ptr %in, i64 %n) {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi i64 [ 0, %entry ], [ %more, %loop ]
  %from = getelementptr i64, ptr %in, i64 %i
  %value = load i64, ptr %from, align 8
  %part = mul i64 %value, %value
  %more = add i64 %sum, %part
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  %result = phi i64 [ 0, %entry ], [ %more, %loop ]
  ret i64 %result
}
