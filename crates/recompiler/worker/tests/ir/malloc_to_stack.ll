; A block that is made, checked, used and freed in every turn moves to the frame, once.
; pass: memory work
; count: 1 alloca|align 16
; refuse: call|@malloc
; refuse: call|@free
; refuse: tail call|@llvm.memcpy
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
declare noalias ptr @malloc(i64) allockind("alloc,uninitialized") allocsize(0) "alloc-family"="malloc"
declare void @free(ptr allocptr captures(none)) allockind("free") "alloc-family"="malloc"
declare i64 @use(ptr captures(none) nofree) nofree
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i64 @work(i64 %n, ptr %from) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %made ]
  %sum = phi i64 [ 0, %entry ], [ %more, %made ]
  %block = call ptr @malloc(i64 64)
  %missing = icmp eq ptr %block, null
  br i1 %missing, label %failed, label %made
made:
  tail call void @llvm.memcpy.p0.p0.i64(ptr %block, ptr %from, i64 64, i1 false)
  %got = tail call i64 @use(ptr %block)
  %more = add i64 %sum, %got
  call void @free(ptr %block)
  %next = add i64 %i, 1
  %over = icmp eq i64 %next, %n
  br i1 %over, label %done, label %loop
done:
  ret i64 %more
failed:
  ret i64 -1
}
