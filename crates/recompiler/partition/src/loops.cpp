// Turns one loop into a function of its own. Which loop is decided in Rust, which is told the facts.

#include "llvm-c/Core.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Analysis/AssumptionCache.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/Module.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Utils/CodeExtractor.h"
#include "llvm/Transforms/Utils/LoopSimplify.h"
#include "llvm/Transforms/Utils/LoopUtils.h"

using namespace llvm;

namespace {

// What Rust decides by; `tidegate_partition::loops` has the same layout.
struct LoopFacts {
  unsigned depth;
  unsigned inputs;
  unsigned outputs;
  unsigned exits;
  // Iterations where they are constant, else 0.
  unsigned trips;
  unsigned hasInnerLoop;
  const LLVMValueRef *instructions;
  size_t instructionCount;
};

typedef int (*DecideLoop)(void *state, const LoopFacts *facts);

} // namespace

extern "C" {

// Extracts the first loop, outer ones first, that `decide` wants; gives its function, or null.
LLVMValueRef tidegate_shim_extract_loop(LLVMValueRef parent, DecideLoop decide, void *state) {
  Function &function = *unwrap<Function>(parent);
  DominatorTree dominators(function);
  LoopInfo loops(dominators);
  AssumptionCache assumptions(function);
  TargetLibraryInfoImpl libraries(Triple(function.getParent()->getTargetTriple()));
  TargetLibraryInfo library(libraries, &function);
  ScalarEvolution evolution(function, library, assumptions, dominators, loops);
  for (Loop *loop : loops.getLoopsInPreorder()) {
    if (loop->getLoopDepth() == 1) {
      simplifyLoop(loop, &dominators, &loops, &evolution, &assumptions, nullptr, false);
      formLCSSARecursively(*loop, dominators, &loops, &evolution);
    }
    if (!loop->isLoopSimplifyForm())
      continue;
    CodeExtractor extractor(loop->getBlocks(), &dominators, false, nullptr, nullptr, &assumptions, false, false,
                            nullptr, "loop");
    if (!extractor.isEligible())
      continue;
    CodeExtractorAnalysisCache cache(function);
    SetVector<Value *> inputs, outputs, sunk, hoisted;
    BasicBlock *commonExit = nullptr;
    extractor.findAllocas(cache, sunk, hoisted, commonExit);
    extractor.findInputsOutputs(inputs, outputs, sunk);
    SmallVector<BasicBlock *, 4> exits;
    loop->getUniqueExitBlocks(exits);
    SmallVector<LLVMValueRef, 128> instructions;
    for (BasicBlock *block : loop->blocks())
      for (Instruction &instruction : *block)
        instructions.push_back(wrap(&instruction));
    LoopFacts facts{loop->getLoopDepth(),
                    static_cast<unsigned>(inputs.size()),
                    static_cast<unsigned>(outputs.size()),
                    static_cast<unsigned>(exits.size()),
                    evolution.getSmallConstantTripCount(loop),
                    !loop->isInnermost(),
                    instructions.data(),
                    instructions.size()};
    if (!decide(state, &facts))
      continue;
    if (Function *extracted = extractor.extractCodeRegion(cache))
      return wrap(extracted);
  }
  return nullptr;
}

// Whether the instruction is executed more than once per call of its function.
int tidegate_shim_is_in_loop(LLVMValueRef instruction) {
  BasicBlock *block = unwrap<Instruction>(instruction)->getParent();
  DominatorTree dominators(*block->getParent());
  LoopInfo loops(dominators);
  return loops.getLoopFor(block) != nullptr;
}
}
