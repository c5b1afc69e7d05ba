; No early read where the loop may end before the turn that it belongs to (a second exit), and none where the address of
; one turn comes from the turn before.
; pass: memory found
; pass: memory chased
; refuse: @llvm.prefetch
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
define i64 @found(ptr %keys, ptr %table, i64 %n) "target-cpu"="x86-64" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %more ]
  %from = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %from, align 8
  %place = getelementptr i64, ptr %table, i64 %key
  %value = load i64, ptr %place, align 8
  %hit = icmp eq i64 %value, 0
  br i1 %hit, label %done, label %more
more:
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  %at = phi i64 [ 0, %entry ], [ %i, %loop ], [ %n, %more ]
  ret i64 %at
}
define i64 @chased(ptr %first, ptr %second, ptr %out, i64 %n) "target-cpu"="x86-64" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %last = phi i64 [ 0, %entry ], [ %value, %loop ]
  %place = getelementptr i64, ptr %first, i64 %last
  %value = load i64, ptr %place, align 8
  store i64 %i, ptr %place, align 8
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  %at = phi i64 [ 0, %entry ], [ %value, %loop ]
  ret i64 %at
}
