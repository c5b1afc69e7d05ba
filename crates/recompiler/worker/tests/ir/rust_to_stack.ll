; Rust: a block of the global allocator with an alignment of its own.
; pass: memory work
; count: 1 alloca|align 32
; refuse: call|@__rust_alloc
; refuse: call|@__rust_dealloc
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-unknown-linux-gnu"
declare noalias ptr @__rust_alloc(i64, i64 allocalign) allockind("alloc,uninitialized,aligned") allocsize(0) "alloc-family"="__rust_alloc"
declare void @__rust_dealloc(ptr allocptr captures(address), i64, i64) allockind("free") "alloc-family"="__rust_alloc"
declare void @fill(ptr captures(none) nofree) nofree
define void @work() {
start:
  %block = call noalias ptr @__rust_alloc(i64 96, i64 32)
  %missing = icmp eq ptr %block, null
  br i1 %missing, label %failed, label %made
made:
  call void @fill(ptr %block)
  call void @__rust_dealloc(ptr %block, i64 96, i64 32)
  ret void
failed:
  unreachable
}
