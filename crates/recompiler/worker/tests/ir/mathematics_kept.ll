; The mathematics library's results differ in their last bit from one to another, so nothing of it is computed here: not
; its functions, not the intrinsics that stand for them.
; pass: cpu known
; count: 4 call double
; expect: call double @llvm.sin.f64(double 1.500000e+00)
; expect: call double @llvm.pow.f64
; expect: call double @llvm.powi.f64.i32
; expect: call double @cbrt(double 3
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
declare double @llvm.sin.f64(double)
declare double @llvm.pow.f64(double, double)
declare double @llvm.powi.f64.i32(double, i32)
declare double @cbrt(double) memory(none) nounwind willreturn
define double @known() "target-cpu"="x86-64" {
  %sine = call double @llvm.sin.f64(double 1.5)
  %power = call double @llvm.pow.f64(double 1.5, double 2.25)
  %whole = call double @llvm.powi.f64.i32(double 1.1, i32 17)
  %root = call double @cbrt(double 3.0)
  %one = fadd double %sine, %power
  %two = fadd double %whole, %root
  %all = fadd double %one, %two
  ret double %all
}
