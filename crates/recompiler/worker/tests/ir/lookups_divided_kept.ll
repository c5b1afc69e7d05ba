; No early division by what was read, which may be zero where it is old, and no signed one of it, which may overflow.
; pass: memory by_key
; pass: memory signed
; refuse: @llvm.prefetch
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
define void @by_key(ptr %keys, ptr %table, i64 %size, i64 %n) "target-cpu"="x86-64" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %from, align 8
  %slot = udiv i64 %size, %key
  %place = getelementptr i64, ptr %table, i64 %slot
  %count = load i64, ptr %place, align 8
  %more = add i64 %count, 1
  store i64 %more, ptr %place, align 8
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  ret void
}
define void @signed(ptr %keys, ptr %table, i64 %size, i64 %n) "target-cpu"="x86-64" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %from, align 8
  %slot = srem i64 %key, %size
  %place = getelementptr i64, ptr %table, i64 %slot
  %count = load i64, ptr %place, align 8
  %more = add i64 %count, 1
  store i64 %more, ptr %place, align 8
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  ret void
}
