; A hash table addressed by a stream of keys: its line is asked for ahead, once for both fields, by a key that is read
; no later than the last.
; pass: memory group
; count: 1 call|@llvm.prefetch
; count: 1 call|@llvm.umin
; count: 2 load i64, ptr %
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
define void @group(ptr %keys, ptr %table, i64 %mask, i64 %n) "target-cpu"="x86-64" {
entry:
  %none = icmp slt i64 %n, 1
  br i1 %none, label %done, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr i64, ptr %keys, i64 %i
  %key = load i64, ptr %from, align 8
  %mixed = mul i64 %key, -7046029254386353131
  %high = lshr i64 %mixed, 20
  %slot = and i64 %high, %mask
  %place = getelementptr { i32, i32 }, ptr %table, i64 %slot
  %count = load i32, ptr %place, align 4
  %more = add i32 %count, 1
  store i32 %more, ptr %place, align 4
  %other = getelementptr { i32, i32 }, ptr %table, i64 %slot, i32 1
  %small = trunc i64 %key to i32
  store i32 %small, ptr %other, align 4
  %next = add nuw nsw i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  ret void
}
