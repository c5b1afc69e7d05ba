; A product and a sum round once where the base has fused instructions, those of FMA4 among them, and twice elsewhere,
; whatever the scenario's instruction set offers.
; pass: cpu once
; pass: cpu twice
; count: 1 call double @llvm.fma.f64
; count: 1 fmul double
; refuse: @llvm.fmuladd
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128"
target triple = "x86_64-pc-linux-gnu"
declare double @llvm.fmuladd.f64(double, double, double)
define double @once(double %a, double %b, double %c) "target-cpu"="x86-64" "target-features"="+avx,+fma4,+sse2" {
  %sum = call double @llvm.fmuladd.f64(double %a, double %b, double %c)
  ret double %sum
}
define double @twice(double %a, double %b, double %c) "target-cpu"="x86-64" "target-features"="+sse2" {
  %sum = call double @llvm.fmuladd.f64(double %a, double %b, double %c)
  ret double %sum
}
