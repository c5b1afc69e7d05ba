// Asks ahead for what a loop will look up: places whose address is computed from what a stream holds, as in hash tables
// and gathers, which no CPU foresees. In C++, because it needs scalar evolution.
//
// The address of a later turn is computed early, by a copy of the instructions that compute it, and its line asked for.
// The copy reads the stream ahead. That read never leaves what the loop itself reads: it is of the loop's last turn at
// most, that turn is sure to come (the loop is left in one place, by a count that is known before it, and nothing in it
// throws, stays away, synchronises, or frees), and every turn does the read. What it gives is used for nothing else, so
// it does not matter whether it is old by then. The idea is Ainsworth's and Jones's (CGO 2017).

#include "common.h"
#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Transforms/Utils/LoopUtils.h"
#include "llvm/Transforms/Utils/ScalarEvolutionExpander.h"

using namespace llvm;

namespace {

// More instructions than this are not done twice.
constexpr size_t SliceMax = 32;
// More places than this are not looked at in one loop.
constexpr size_t LookupsMax = 8;
// A line of the caches of every x86-64 CPU.
constexpr uint64_t LineBytes = 64;
// What has a fixed size below this stays in the nearest cache by itself.
constexpr uint64_t NearBytes = 32 << 10;

// What an address is computed from, operands first.
struct Slice {
  SmallVector<Instruction *, 16> order;
  SmallPtrSet<Instruction *, 16> known;
};

bool steps(PHINode &phi, Loop &loop, ScalarEvolution &evolution) {
  auto *stepping = evolution.isSCEVable(phi.getType()) ? dyn_cast<SCEVAddRecExpr>(evolution.getSCEV(&phi)) : nullptr;
  return stepping && stepping->getLoop() == &loop && stepping->isAffine() &&
         isa<SCEVConstant>(stepping->getStepRecurrence(evolution));
}

// Whether the loop does this in each of its turns.
bool isDoneEveryTurn(Instruction &instruction, Loop &loop, Analyses &with) {
  BasicBlock *block = instruction.getParent();
  return with.loops().getLoopFor(block) == &loop && with.dominators().dominates(block, loop.getLoopLatch());
}

bool mayBeCopied(Instruction &instruction, Loop &loop, Analyses &with) {
  if (auto *load = dyn_cast<LoadInst>(&instruction))
    return load->isSimple() && isDoneEveryTurn(*load, loop, with);
  if (instruction.isIntDivRem())
    return isDoneEveryTurn(instruction, loop, with);
  if (auto *intrinsic = dyn_cast<IntrinsicInst>(&instruction))
    return intrinsic->doesNotAccessMemory() && isSafeToSpeculativelyExecute(intrinsic);
  return isa<BinaryOperator, CastInst, GetElementPtrInst, CmpInst, SelectInst, FreezeInst, ExtractElementInst>(
      instruction);
}

// The value of an inner loop's variable in its first turn; null where `phi` is none.
Value *firstOf(PHINode &phi, Loop &loop, Analyses &with) {
  Loop *inner = with.loops().getLoopFor(phi.getParent());
  if (inner == &loop || inner->getHeader() != phi.getParent() || !inner->getLoopPreheader())
    return nullptr;
  return phi.getIncomingValueForBlock(inner->getLoopPreheader());
}

// Gathers what `value` is computed from within one turn; false where it depends on more than the turn's number.
bool gather(Value *value, Loop &loop, Analyses &with, Slice &slice) {
  auto *instruction = dyn_cast<Instruction>(value);
  if (!instruction || !loop.contains(instruction) || slice.known.contains(instruction))
    return true;
  if (slice.order.size() >= SliceMax)
    return false;
  if (auto *phi = dyn_cast<PHINode>(instruction)) {
    bool ofLoop = phi->getParent() == loop.getHeader();
    Value *first = ofLoop ? nullptr : firstOf(*phi, loop, with);
    if (ofLoop ? !steps(*phi, loop, with.evolution()) : !first || !gather(first, loop, with, slice))
      return false;
  } else {
    if (!mayBeCopied(*instruction, loop, with))
      return false;
    for (Value *operand : instruction->operands())
      if (!gather(operand, loop, with, slice))
        return false;
  }
  if (slice.known.insert(instruction).second)
    slice.order.push_back(instruction);
  return true;
}

// Whether the instruction could fault where what it takes from `read` is old: a read by it, a division by it, a signed
// one of it.
bool faultsByOld(const Instruction &instruction, const SmallPtrSetImpl<Value *> &read) {
  if (!instruction.isIntDivRem())
    return isa<LoadInst>(instruction);
  bool isSigned = instruction.getOpcode() == Instruction::SDiv || instruction.getOpcode() == Instruction::SRem;
  return read.contains(instruction.getOperand(1)) || (isSigned && !isSafeToSpeculativelyExecute(&instruction));
}

// Whether the slice reads the stream, and does nothing with what it read that could fault where that is old.
bool readsOnlyStreams(const Slice &slice) {
  SmallPtrSet<Value *, 16> read;
  bool any = false;
  for (Instruction *instruction : slice.order) {
    bool fromRead = any_of(instruction->operands(), [&](Value *operand) { return read.contains(operand); });
    if (fromRead && faultsByOld(*instruction, read))
      return false;
    any |= isa<LoadInst>(instruction);
    if (fromRead || isa<LoadInst>(instruction))
      read.insert(instruction);
  }
  return any;
}

// Whether every turn that the count promises is sure to come, with the memory of the stream still there.
bool isSureToGoOn(Loop &loop, Analyses &with) {
  for (Loop *inner : loop.getLoopsInPreorder()) {
    bool counted = !isa<SCEVCouldNotCompute>(with.evolution().getBackedgeTakenCount(inner));
    if (inner != &loop && !counted && !isMustProgress(inner))
      return false;
  }
  for (BasicBlock *block : loop.blocks())
    for (Instruction &instruction : *block) {
      auto *call = dyn_cast<CallBase>(&instruction);
      bool frees = call && !call->hasFnAttr(Attribute::NoFree) && !call->onlyReadsMemory();
      if (instruction.mayThrow() || !instruction.willReturn() || instruction.isAtomic() || instruction.isVolatile() ||
          frees)
        return false;
    }
  return true;
}

bool isNear(Value *pointer, const DataLayout &layout) {
  Value *object = getUnderlyingObject(pointer);
  auto *global = dyn_cast<GlobalVariable>(object);
  return isa<AllocaInst>(object) ||
         (global && layout.getTypeAllocSize(global->getValueType()).getKnownMinValue() <= NearBytes);
}

struct Lookup {
  Value *pointer;
  Slice slice;
};

SmallVector<Lookup, 4> findLookups(Loop &loop, Analyses &with) {
  SmallVector<Lookup, 4> lookups;
  const DataLayout &layout = loop.getHeader()->getDataLayout();
  for (BasicBlock *block : loop.blocks())
    for (Instruction &instruction : *block) {
      Value *pointer = getLoadStorePointerOperand(&instruction);
      Lookup lookup{pointer, {}};
      if (!pointer || lookups.size() >= LookupsMax || isNear(pointer, layout) ||
          !gather(pointer, loop, with, lookup.slice) || !readsOnlyStreams(lookup.slice))
        continue;
      lookups.push_back(std::move(lookup));
    }
  return lookups;
}

// Copies of instructions for a later turn, and what was asked for by them.
struct Ahead {
  Value *turn;
  DenseMap<Value *, Value *> copies;
  SmallVector<Value *, 4> asked;

  Value *copyOf(Value *value) const {
    Value *copy = copies.lookup(value);
    return copy ? copy : value;
  }
};

void copySlice(const Slice &slice, Ahead &ahead, Loop &loop, IRBuilder<> &build, Analyses &with) {
  for (Instruction *instruction : slice.order) {
    if (ahead.copies.contains(instruction))
      continue;
    auto *phi = dyn_cast<PHINode>(instruction);
    if (phi && phi->getParent() == loop.getHeader()) {
      ahead.copies[phi] = valueAfter(*phi, ahead.turn, loop, build, with.evolution());
    } else if (phi) {
      ahead.copies[phi] = ahead.copyOf(firstOf(*phi, loop, with));
    } else {
      Instruction *copy = instruction->clone();
      for (Use &operand : copy->operands())
        operand.set(ahead.copyOf(operand.get()));
      copy->dropPoisonGeneratingAnnotations();
      copy->dropUBImplyingAttrsAndMetadata();
      build.Insert(copy);
      ahead.copies[instruction] = copy;
    }
  }
}

// Asks for the line of the later turn, unless that was done: what an inner loop looks up first is often looked up before
// it, too.
void ask(const Lookup &lookup, Ahead &ahead, Loop &loop, Instruction *place, Analyses &with) {
  ScalarEvolution &evolution = with.evolution();
  IRBuilder<> build(place);
  copySlice(lookup.slice, ahead, loop, build, with);
  Value *pointer = ahead.copyOf(lookup.pointer);
  bool isKnown = any_of(ahead.asked, [&](Value *other) {
    auto *distance = dyn_cast<SCEVConstant>(evolution.getMinusSCEV(evolution.getSCEV(pointer), evolution.getSCEV(other)));
    return distance && distance->getAPInt().abs().ult(LineBytes);
  });
  if (isKnown)
    return;
  // A read, to be kept near, of data.
  build.CreateIntrinsic(Intrinsic::prefetch, {pointer->getType()},
                        {pointer, build.getInt32(0), build.getInt32(3), build.getInt32(1)});
  ahead.asked.push_back(pointer);
}

unsigned lookUpAhead(Loop &loop, uint64_t turns, Analyses &with) {
  BasicBlock *latch = loop.getLoopLatch();
  BasicBlock *preheader = loop.getLoopPreheader();
  if (!loop.isLoopSimplifyForm() || loop.getExitingBlock() != latch || !isSureToGoOn(loop, with))
    return 0;
  const SCEV *count = with.evolution().getBackedgeTakenCount(&loop);
  SCEVExpander expander(with.evolution(), "lookups");
  if (isa<SCEVCouldNotCompute>(count) || count->getType()->getScalarSizeInBits() > 64 ||
      !expander.isSafeToExpandAt(count, preheader->getTerminator()))
    return 0;
  SmallVector<Lookup, 4> lookups = findLookups(loop, with);
  if (lookups.empty())
    return 0;
  Value *last = expander.expandCodeFor(count, count->getType(), preheader->getTerminator());
  IRBuilder<> before(preheader->getTerminator());
  last = before.CreateZExt(last, before.getInt64Ty());
  IRBuilder<> top(&loop.getHeader()->front());
  PHINode *turn = top.CreatePHI(top.getInt64Ty(), 2, "turn");
  Instruction *place = &*loop.getHeader()->getFirstInsertionPt();
  IRBuilder<> build(place);
  Value *later = build.CreateAdd(turn, build.getInt64(turns));
  Ahead ahead{build.CreateBinaryIntrinsic(Intrinsic::umin, later, last), {}, {}};
  IRBuilder<> bottom(latch->getTerminator());
  turn->addIncoming(top.getInt64(0), preheader);
  turn->addIncoming(bottom.CreateAdd(turn, bottom.getInt64(1)), latch);
  for (const Lookup &lookup : lookups)
    ask(lookup, ahead, loop, place, with);
  with.evolution().forgetAllLoops();
  return ahead.asked.size();
}

} // namespace

// Gives the number of places that are asked for `turns` ahead.
extern "C" unsigned tidegate_prefetch_lookups(LLVMValueRef root, LLVMTargetMachineRef machine, uint64_t turns) {
  Analyses with(*unwrap<Function>(root), machine);
  with.shapeLoops();
  unsigned asked = 0;
  for (Loop *loop : with.loops().getLoopsInPreorder())
    asked += lookUpAhead(*loop, turns, with);
  return asked;
}
