; C++: a block of `new`, freed by `delete` with its size, moves to the frame. A function that may be entered again from
; what it calls gets little room: the second block is too large for it.
; pass: memory small
; pass: memory large
; count: 1 alloca
; count: 1 call|@_Znwm
; count: 1 call|@_ZdlPvm
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
declare noalias nonnull ptr @_Znwm(i64)
declare void @_ZdlPvm(ptr, i64)
declare void @fill(ptr captures(none) nofree) nofree
define void @small() {
  %block = call noalias nonnull ptr @_Znwm(i64 256) #0
  call void @fill(ptr %block)
  call void @_ZdlPvm(ptr %block, i64 256) #0
  ret void
}
define void @large() {
  %block = call noalias nonnull ptr @_Znwm(i64 1024) #0
  call void @fill(ptr %block)
  call void @_ZdlPvm(ptr %block, i64 1024) #0
  ret void
}
attributes #0 = { builtin }
