; Code that is compiled without vector registers may run where nobody keeps them: it gets none by a newer instruction set.
; pass: cpu bare
; expect: "target-features"="-sse2,-sse,-mmx,-x87"
; refuse: +avx
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
define void @bare(ptr noalias %out, ptr noalias %in, i64 %n) "target-cpu"="x86-64" "target-features"="-sse2,-sse,-mmx,-x87" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr i32, ptr %in, i64 %i
  %value = load i32, ptr %from, align 4
  %more = add i32 %value, 3
  %to = getelementptr i32, ptr %out, i64 %i
  store i32 %more, ptr %to, align 4
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  ret void
}
