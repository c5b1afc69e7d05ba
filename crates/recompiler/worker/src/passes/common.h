// What the worker's own passes share: the analyses that they ask LLVM for, and arithmetic on loops. Mechanism only; which pass runs for which
// scenario stands in `pipelines.rs`.

#pragma once

#include "llvm-c/Core.h"
#include "llvm-c/TargetMachine.h"
#include "llvm/Analysis/AliasAnalysis.h"
#include "llvm/Analysis/AssumptionCache.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/OptimizationRemarkEmitter.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/LCSSA.h"
#include "llvm/Transforms/Utils/LoopSimplify.h"

// LLVM's analyses of one function, made when they are asked for.
class Analyses {
public:
  Analyses(llvm::Function &function, LLVMTargetMachineRef machine)
      : function(function), builder(reinterpret_cast<llvm::TargetMachine *>(machine)) {
    builder.registerModuleAnalyses(moduleAnalyses);
    builder.registerCGSCCAnalyses(graphAnalyses);
    builder.registerFunctionAnalyses(analyses);
    builder.registerLoopAnalyses(loopAnalyses);
    builder.crossRegisterProxies(loopAnalyses, analyses, graphAnalyses, moduleAnalyses);
  }

  // Brings the loops into the form that the passes over loops need.
  void shapeLoops() {
    llvm::FunctionPassManager shape;
    shape.addPass(llvm::LoopSimplifyPass());
    shape.addPass(llvm::LCSSAPass());
    analyses.invalidate(function, shape.run(function, analyses));
  }

  llvm::LoopInfo &loops() { return analyses.getResult<llvm::LoopAnalysis>(function); }
  llvm::DominatorTree &dominators() { return analyses.getResult<llvm::DominatorTreeAnalysis>(function); }
  llvm::ScalarEvolution &evolution() { return analyses.getResult<llvm::ScalarEvolutionAnalysis>(function); }
  llvm::AAResults &aliases() { return analyses.getResult<llvm::AAManager>(function); }
  llvm::TargetLibraryInfo &library() { return analyses.getResult<llvm::TargetLibraryAnalysis>(function); }
  llvm::TargetTransformInfo &target() { return analyses.getResult<llvm::TargetIRAnalysis>(function); }
  llvm::AssumptionCache &assumptions() { return analyses.getResult<llvm::AssumptionAnalysis>(function); }
  llvm::OptimizationRemarkEmitter &remarks() {
    return analyses.getResult<llvm::OptimizationRemarkEmitterAnalysis>(function);
  }

private:
  llvm::Function &function;
  llvm::LoopAnalysisManager loopAnalyses;
  llvm::FunctionAnalysisManager analyses;
  llvm::CGSCCAnalysisManager graphAnalyses;
  llvm::ModuleAnalysisManager moduleAnalyses;
  llvm::PassBuilder builder;
};

// What `phi` is after so many turns, where it steps by a constant; else null.
inline llvm::Value *valueAfter(llvm::PHINode &phi, llvm::Value *turns, llvm::Loop &loop, llvm::IRBuilder<> &build,
                               llvm::ScalarEvolution &evolution) {
  if (!evolution.isSCEVable(phi.getType()))
    return nullptr;
  auto *stepping = llvm::dyn_cast<llvm::SCEVAddRecExpr>(evolution.getSCEV(&phi));
  if (!stepping || stepping->getLoop() != &loop || !stepping->isAffine())
    return nullptr;
  auto *step = llvm::dyn_cast<llvm::SCEVConstant>(stepping->getStepRecurrence(evolution));
  llvm::Value *first = phi.getIncomingValueForBlock(loop.getLoopPreheader());
  if (!step)
    return nullptr;
  llvm::Value *distance = build.CreateMul(build.CreateZExtOrTrunc(turns, step->getType()), step->getValue());
  if (phi.getType()->isPointerTy())
    return build.CreateGEP(build.getInt8Ty(), first, distance);
  return build.CreateAdd(first, distance);
}
