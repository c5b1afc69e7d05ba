// Streams the stores of long vector loops past the caches. In C++, because it needs scalar evolution and alias
// analysis, which LLVM's C API does not have.
//
// For an innermost loop that writes memory in order and does not read what it writes, a second version of the loop
// is made whose stores are non-temporal. It is entered where the addresses are aligned for it, where the loop
// writes so much that a cache could not keep it, and where what it reads is elsewhere; a fence behind it orders its
// stores before everything that follows. The first version stays for the rest. What is stored, and in what order one
// thread sees it, is the same.
//
// Before the loops are vectorised, `tidegate_peel_streams` lets such a loop begin with the few turns that lead to
// an aligned address. The second version turns by whole cache lines, so that each line that it reads is asked for
// ahead once, not once per load.

#include "common.h"
#include "llvm/Analysis/MemoryLocation.h"
#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicsX86.h"
#include "llvm/Transforms/Utils/BasicBlockUtils.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include "llvm/Transforms/Utils/LoopUtils.h"
#include "llvm/Transforms/Utils/ScalarEvolutionExpander.h"
#include "llvm/Transforms/Utils/UnrollLoop.h"

using namespace llvm;

namespace {

// What non-temporal vector stores of the baseline take.
constexpr uint64_t StoreBytes = 16;
// A line of the caches of every x86-64 CPU.
constexpr uint64_t LineBytes = 64;
// How far ahead a line is asked for: a few hundred nanoseconds at the bandwidth of one core.
constexpr uint64_t PrefetchBytes = 1024;

// Stores that together write memory in order.
struct Stream {
  SmallVector<StoreInst *, 4> stores;
  const SCEV *first = nullptr;
  uint64_t step = 0;
  // Where loads start that are not known to be elsewhere.
  SmallVector<const SCEV *, 4> reads;
};

MemoryLocation anywhere(Value *pointer, Instruction &access) {
  return MemoryLocation::getBeforeOrAfter(pointer, access.getAAMetadata());
}

bool isSimpleLoop(Loop &loop) {
  return loop.isInnermost() && loop.isLoopSimplifyForm() && loop.getExitingBlock() && loop.getExitBlock();
}

// The loads and stores of the loop; false where it touches memory in another way.
bool collect(Loop &loop, SmallVectorImpl<LoadInst *> &loads, SmallVectorImpl<StoreInst *> &stores) {
  for (BasicBlock *block : loop.blocks())
    for (Instruction &instruction : *block) {
      if (!instruction.mayReadOrWriteMemory() && !instruction.mayHaveSideEffects())
        continue;
      if (auto *load = dyn_cast<LoadInst>(&instruction); load && load->isSimple())
        loads.push_back(load);
      else if (auto *store = dyn_cast<StoreInst>(&instruction); store && store->isSimple())
        stores.push_back(store);
      else
        return false;
    }
  return true;
}

// The step of the store's address per iteration, in bytes; 0 where it does not advance evenly and upwards.
uint64_t stepOf(StoreInst &store, Loop &loop, ScalarEvolution &evolution) {
  auto *address = dyn_cast<SCEVAddRecExpr>(evolution.getSCEV(store.getPointerOperand()));
  if (!address || address->getLoop() != &loop || !address->isAffine())
    return 0;
  auto *step = dyn_cast<SCEVConstant>(address->getStepRecurrence(evolution));
  if (!step || !step->getAPInt().isStrictlyPositive() || step->getAPInt().getActiveBits() > 32)
    return 0;
  return step->getAPInt().getZExtValue();
}

// More loads than this are not checked one by one.
constexpr size_t ReadsMax = 8;

// Finds the loads that must be checked to be elsewhere when the loop is entered; false where one is known to read
// what the store writes, or where that cannot be checked.
bool readsToCheck(StoreInst &store, Loop &loop, ArrayRef<LoadInst *> loads, Analyses &with,
                  SmallVectorImpl<const SCEV *> &reads) {
  const SCEV *written = cast<SCEVAddRecExpr>(with.evolution().getSCEV(store.getPointerOperand()))->getStart();
  for (LoadInst *load : loads) {
    if (with.aliases().isNoAlias(anywhere(load->getPointerOperand(), *load), anywhere(store.getPointerOperand(), store)))
      continue;
    auto *address = dyn_cast<SCEVAddRecExpr>(with.evolution().getSCEV(load->getPointerOperand()));
    if (!address || address->getLoop() != &loop || !address->isAffine() || reads.size() == ReadsMax ||
        isa<SCEVConstant>(with.evolution().getMinusSCEV(address->getStart(), written)))
      return false;
    if (!is_contained(reads, address->getStart()))
      reads.push_back(address->getStart());
  }
  return true;
}

// Groups the stores into streams without gaps that nothing in the loop reads.
SmallVector<Stream, 2> findStreams(Loop &loop, Analyses &with) {
  SmallVector<LoadInst *, 8> loads;
  SmallVector<StoreInst *, 8> stores;
  SmallVector<Stream, 2> streams;
  if (!collect(loop, loads, stores))
    return streams;
  const DataLayout &layout = loop.getHeader()->getDataLayout();
  MapVector<const SCEV *, Stream> byBase;
  for (StoreInst *store : stores) {
    uint64_t step = stepOf(*store, loop, with.evolution());
    if (layout.getTypeStoreSize(store->getValueOperand()->getType()) != TypeSize::getFixed(StoreBytes) || !step ||
        store->getParent() != loop.getHeader())
      continue;
    const SCEV *address = with.evolution().getSCEV(store->getPointerOperand());
    const SCEV *start = cast<SCEVAddRecExpr>(address)->getStart();
    Stream &stream = byBase[with.evolution().getPointerBase(address)];
    if (stream.stores.empty()) {
      stream.first = start;
      stream.step = step;
    }
    // Aligned with the first store, or not at all.
    auto *distance = dyn_cast<SCEVConstant>(with.evolution().getMinusSCEV(start, stream.first));
    bool fits = distance && distance->getAPInt().srem(StoreBytes) == 0 && stream.step == step;
    if (fits && readsToCheck(*store, loop, loads, with, stream.reads))
      stream.stores.push_back(store);
    else
      stream.step = 0;
  }
  for (auto &[base, stream] : byBase)
    if (stream.step && stream.step == stream.stores.size() * StoreBytes)
      streams.push_back(stream);
  return streams;
}

// Whether `stream` starts aligned and everything that may read it is elsewhere.
Value *guardOf(const Stream &stream, Value *iterations, SCEVExpander &expander, Instruction *place) {
  auto address = [&](const SCEV *start) {
    Value *pointer = expander.expandCodeFor(start, start->getType(), place);
    return IRBuilder<>(place).CreatePtrToInt(pointer, IRBuilder<>(place).getInt64Ty());
  };
  Value *first = address(stream.first);
  IRBuilder<> build(place);
  Value *holds = build.CreateICmpEQ(build.CreateAnd(first, build.getInt64(StoreBytes - 1)), build.getInt64(0));
  Value *length = build.CreateMul(build.CreateAdd(iterations, build.getInt64(2)), build.getInt64(stream.step));
  for (const SCEV *read : stream.reads) {
    Value *other = address(read);
    build.SetInsertPoint(place);
    Value *behind = build.CreateICmpUGE(build.CreateSub(first, other), length);
    Value *ahead = build.CreateICmpUGE(build.CreateSub(other, first), length);
    holds = build.CreateAnd(holds, build.CreateAnd(behind, ahead));
  }
  return holds;
}

// Whether the loop writes enough and every stream's own condition holds, as a value computed before the loop.
Value *guard(Loop &loop, ArrayRef<Stream> streams, uint64_t leastBytes, Analyses &with) {
  const SCEV *count = with.evolution().getBackedgeTakenCount(&loop);
  Instruction *place = loop.getLoopPreheader()->getTerminator();
  SCEVExpander expander(with.evolution(), "stream");
  auto expandable = [&](const SCEV *value) { return expander.isSafeToExpandAt(value, place); };
  auto whole = [&](const Stream &stream) { return expandable(stream.first) && all_of(stream.reads, expandable); };
  if (isa<SCEVCouldNotCompute>(count) || !expandable(count) || !all_of(streams, whole))
    return nullptr;
  uint64_t step = 0;
  for (const Stream &stream : streams)
    step += stream.step;
  Value *iterations = expander.expandCodeFor(count, count->getType(), place);
  IRBuilder<> build(place);
  iterations = build.CreateZExtOrTrunc(iterations, build.getInt64Ty());
  Value *holds = build.CreateICmpUGE(iterations, build.getInt64(leastBytes / step));
  for (const Stream &stream : streams) {
    Value *own = guardOf(stream, iterations, expander, place);
    build.SetInsertPoint(place);
    holds = build.CreateAnd(holds, own);
  }
  return holds;
}

// Makes the second version of the loop and enters it where `condition` holds. Gives it, and in `reads` its loads.
Loop *makeVersion(Loop &loop, ArrayRef<Stream> streams, Value *condition, Analyses &with,
                  SmallVectorImpl<WeakVH> &reads) {
  BasicBlock *check = loop.getLoopPreheader();
  BasicBlock *exiting = loop.getExitingBlock();
  BasicBlock *exit = loop.getExitBlock();
  BasicBlock *preheader = SplitBlock(check, check->getTerminator(), &with.dominators(), &with.loops());
  ValueToValueMapTy map;
  SmallVector<BasicBlock *, 8> blocks;
  Loop *copy = cloneLoopWithPreheader(preheader, check, &loop, map, ".stream", &with.loops(), &with.dominators(), blocks);
  remapInstructionsInBlocks(blocks, map);
  Instruction *branch = check->getTerminator();
  IRBuilder<>(branch).CreateCondBr(condition, copy->getLoopPreheader(), preheader);
  branch->eraseFromParent();
  auto *copyExiting = cast<BasicBlock>(map[exiting]);
  for (PHINode &phi : exit->phis()) {
    Value *value = phi.getIncomingValueForBlock(exiting);
    auto mapped = map.find(value);
    phi.addIncoming(mapped == map.end() ? value : static_cast<Value *>(mapped->second), copyExiting);
  }
  with.dominators().changeImmediateDominator(exit, check);
  BasicBlock *behind = SplitEdge(copyExiting, exit, &with.dominators(), &with.loops());
  IRBuilder<> build(behind->getTerminator());
  build.CreateIntrinsic(Intrinsic::x86_sse_sfence, {});
  MDNode *hint = MDNode::get(exit->getContext(), ConstantAsMetadata::get(build.getInt32(1)));
  for (const Stream &stream : streams)
    for (StoreInst *store : stream.stores) {
      auto *streamed = cast<StoreInst>(map[store]);
      streamed->setMetadata(LLVMContext::MD_nontemporal, hint);
      streamed->setAlignment(Align(StoreBytes));
    }
  for (WeakVH &read : reads)
    if (auto mapped = map.find(read); mapped != map.end())
      read = mapped->second;
  return copy;
}

// The loads of the loop that begin a line of their own: one per stream and line.
void readsByLine(Loop &loop, ScalarEvolution &evolution, SmallVectorImpl<WeakVH> &reads) {
  SmallVector<const SCEV *, 8> starts;
  for (BasicBlock *block : loop.blocks())
    for (Instruction &instruction : *block) {
      auto *load = dyn_cast<LoadInst>(&instruction);
      auto *address = load ? dyn_cast<SCEVAddRecExpr>(evolution.getSCEV(load->getPointerOperand())) : nullptr;
      if (!address || address->getLoop() != &loop || !address->isAffine())
        continue;
      bool known = any_of(starts, [&](const SCEV *start) {
        auto *distance = dyn_cast<SCEVConstant>(evolution.getMinusSCEV(address->getStart(), start));
        return distance && distance->getAPInt().abs().ult(LineBytes);
      });
      if (known)
        continue;
      starts.push_back(address->getStart());
      reads.push_back(load);
    }
}

// Makes the streamed version turn by whole lines, and asks for each line that it reads once, `PrefetchBytes` ahead.
void prefetchLines(Loop &streamed, uint64_t step, ArrayRef<WeakVH> reads, Analyses &with) {
  if (step < LineBytes && LineBytes % step == 0) {
    UnrollLoopOptions options{};
    options.Count = LineBytes / step;
    options.Force = options.Runtime = options.AllowExpensiveTripCount = true;
    options.SCEVExpansionBudget = 16;
    with.evolution().forgetAllLoops();
    LoopUnrollResult done = UnrollLoop(&streamed, options, &with.loops(), &with.evolution(), &with.dominators(),
                                       &with.assumptions(), &with.target(), &with.remarks(), true);
    // Without it there would be several requests per line: none is better.
    if (done != LoopUnrollResult::PartiallyUnrolled)
      return;
  }
  for (const WeakVH &read : reads) {
    auto *load = dyn_cast_or_null<LoadInst>(static_cast<Value *>(read));
    if (!load)
      continue;
    IRBuilder<> build(load);
    Value *ahead = build.CreateGEP(build.getInt8Ty(), load->getPointerOperand(), build.getInt64(PrefetchBytes));
    // A read that will not be repeated, of data.
    build.CreateIntrinsic(Intrinsic::prefetch, {ahead->getType()},
                          {ahead, build.getInt32(0), build.getInt32(0), build.getInt32(1)});
  }
}

// The store whose address decides how many turns lead to an aligned one; null where the loop is of another form.
StoreInst *leadingStore(Loop &loop, Analyses &with) {
  SmallVector<LoadInst *, 8> loads;
  SmallVector<StoreInst *, 8> stores;
  if (loop.getExitingBlock() != loop.getLoopLatch() || !collect(loop, loads, stores))
    return nullptr;
  const DataLayout &layout = loop.getHeader()->getDataLayout();
  for (StoreInst *store : stores) {
    uint64_t bytes = layout.getTypeStoreSize(store->getValueOperand()->getType()).getKnownMinValue();
    SmallVector<const SCEV *, 4> reads;
    if (bytes < StoreBytes && isPowerOf2_64(bytes) && store->getParent() == loop.getHeader() &&
        stepOf(*store, loop, with.evolution()) == bytes && readsToCheck(*store, loop, loads, with, reads))
      return store;
  }
  return nullptr;
}

// Puts the turns that lead to an aligned address, where there are any and the loop is long, into a copy before it.
bool peel(Loop &loop, StoreInst &store, uint64_t leastBytes, Analyses &with) {
  ScalarEvolution &evolution = with.evolution();
  const SCEV *count = evolution.getBackedgeTakenCount(&loop);
  const SCEV *start = cast<SCEVAddRecExpr>(evolution.getSCEV(store.getPointerOperand()))->getStart();
  uint64_t bytes = stepOf(store, loop, evolution);
  BasicBlock *check = loop.getLoopPreheader();
  Instruction *place = check->getTerminator();
  SCEVExpander expander(evolution, "peel");
  if (isa<SCEVCouldNotCompute>(count) || !expander.isSafeToExpandAt(count, place) ||
      !expander.isSafeToExpandAt(start, place))
    return false;
  Value *turns = expander.expandCodeFor(count, count->getType(), place);
  Value *address = expander.expandCodeFor(start, start->getType(), place);
  IRBuilder<> build(place);
  Type *word = build.getInt64Ty();
  Value *first = build.CreatePtrToInt(address, word);
  Value *missing = build.CreateAnd(build.CreateNeg(first), build.getInt64(StoreBytes - 1));
  Value *peeled = build.CreateLShr(missing, build.getInt64(Log2_64(bytes)));
  Value *longEnough = build.CreateICmpUGE(build.CreateZExtOrTrunc(turns, word), build.getInt64(leastBytes / bytes));
  Value *reachable = build.CreateICmpEQ(build.CreateAnd(first, build.getInt64(bytes - 1)), build.getInt64(0));
  Value *needed = build.CreateICmpNE(peeled, build.getInt64(0));
  Value *condition = build.CreateAnd(build.CreateAnd(longEnough, reachable), needed);

  // What steps evenly begins behind the peeled turns by computation: its relation to others stays visible.
  Value *turned = build.CreateSelect(condition, peeled, build.getInt64(0));
  SmallDenseMap<PHINode *, Value *> begins;
  for (PHINode &phi : loop.getHeader()->phis())
    if (Value *begin = valueAfter(phi, turned, loop, build, evolution))
      begins[&phi] = begin;

  BasicBlock *preheader = SplitBlock(check, place, &with.dominators(), &with.loops());
  ValueToValueMapTy map;
  SmallVector<BasicBlock *, 8> blocks;
  Loop *copy = cloneLoopWithPreheader(preheader, check, &loop, map, ".peel", &with.loops(), &with.dominators(), blocks);
  remapInstructionsInBlocks(blocks, map);
  Instruction *branch = check->getTerminator();
  IRBuilder<>(branch).CreateCondBr(condition, copy->getLoopPreheader(), preheader);
  branch->eraseFromParent();
  // Long enough: the copy is left by its own count alone, before the loop's own condition could.
  BasicBlock *latch = copy->getLoopLatch();
  IRBuilder<> top(&copy->getHeader()->front());
  PHINode *turn = top.CreatePHI(word, 2, "turn");
  Instruction *old = latch->getTerminator();
  IRBuilder<> bottom(old);
  Value *next = bottom.CreateAdd(turn, bottom.getInt64(1));
  bottom.CreateCondBr(bottom.CreateICmpEQ(next, peeled), preheader, copy->getHeader());
  old->eraseFromParent();
  turn->addIncoming(build.getInt64(0), copy->getLoopPreheader());
  turn->addIncoming(next, latch);
  for (PHINode &phi : loop.getHeader()->phis()) {
    if (Value *begin = begins.lookup(&phi)) {
      phi.setIncomingValueForBlock(preheader, begin);
      continue;
    }
    Value *value = phi.getIncomingValueForBlock(loop.getLoopLatch());
    auto mapped = map.find(value);
    PHINode *entered = IRBuilder<>(&preheader->front()).CreatePHI(phi.getType(), 2);
    entered->addIncoming(phi.getIncomingValueForBlock(preheader), check);
    entered->addIncoming(mapped == map.end() ? value : static_cast<Value *>(mapped->second), latch);
    phi.setIncomingValueForBlock(preheader, entered);
  }
  addStringMetadataToLoop(copy, "llvm.loop.isvectorized", 1);
  addStringMetadataToLoop(copy, "llvm.loop.unroll.disable", 1);
  evolution.forgetAllLoops();
  return true;
}

} // namespace

// The innermost loops of a simple form.
static SmallVector<Loop *, 8> simpleLoops(Analyses &with) {
  SmallVector<Loop *, 8> loops;
  for (Loop *loop : with.loops().getLoopsInPreorder())
    if (isSimpleLoop(*loop))
      loops.push_back(loop);
  return loops;
}

// Gives the number of loops that got turns of their own up to an aligned address, for loops of `leastBytes` or more.
extern "C" unsigned tidegate_peel_streams(LLVMValueRef root, LLVMTargetMachineRef machine, uint64_t leastBytes) {
  Analyses with(*unwrap<Function>(root), machine);
  with.shapeLoops();
  unsigned peeled = 0;
  for (Loop *loop : simpleLoops(with)) {
    StoreInst *store = leadingStore(*loop, with);
    peeled += store && peel(*loop, *store, leastBytes, with);
  }
  return peeled;
}

// Gives the number of loops that got a second version. Loops that write less than `leastBytes` do not enter it.
extern "C" unsigned tidegate_stream_stores(LLVMValueRef root, LLVMTargetMachineRef machine, uint64_t leastBytes,
                                           int prefetch) {
  Analyses with(*unwrap<Function>(root), machine);
  with.shapeLoops();
  unsigned streamed = 0;
  for (Loop *loop : simpleLoops(with)) {
    SmallVector<Stream, 2> streams = findStreams(*loop, with);
    Value *condition = streams.empty() ? nullptr : guard(*loop, streams, leastBytes, with);
    if (!condition)
      continue;
    SmallVector<WeakVH, 8> reads;
    if (prefetch)
      readsByLine(*loop, with.evolution(), reads);
    Loop *copy = makeVersion(*loop, streams, condition, with, reads);
    if (prefetch)
      prefetchLines(*copy, streams.front().step, reads, with);
    with.evolution().forgetAllLoops();
    ++streamed;
  }
  return streamed;
}
