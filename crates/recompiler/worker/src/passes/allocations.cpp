// Puts small heap blocks that do not outlive the call that makes them on its stack.
//
// A block moves where its size is a constant, its address leaves nowhere, and it is freed on every path before the
// function returns or makes it again; so at most one of it lives at a time, and one place in the function's frame is
// enough, however often the loop around it turns. LLVM's own pass of that kind leaves the place inside the loop and
// aligns it to one byte. In C++, because C has no way to ask LLVM what allocates, frees and captures.

#include "common.h"
#include "llvm/Analysis/MemoryBuiltins.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace {

// What malloc promises.
constexpr uint64_t LeastAlignment = 16;
// No allocator's caller here asks for more.
constexpr uint64_t MostAlignment = 64;

struct Block {
  CallInst *made = nullptr;
  uint64_t bytes = 0;
  Align alignment = Align(LeastAlignment);
  bool zeroed = false;
  SmallPtrSet<Instruction *, 4> freed;
  // Calls that see the block: they must not be marked as calls that see nothing of this frame.
  SmallVector<CallInst *, 4> seenBy;
};

// Whether `made` makes a block of a constant size that could move; fills in its form.
bool describe(CallInst &made, const TargetLibraryInfo &library, uint64_t bytesMax, Block &block) {
  Type *byte = Type::getInt8Ty(made.getContext());
  Constant *initial = isRemovableAlloc(&made, &library) ? getInitialValueOfAllocation(&made, &library, byte) : nullptr;
  if (!initial || made.isMustTailCall())
    return false;
  std::optional<APInt> size = getAllocSize(&made, &library);
  if (!size || size->isZero() || size->ugt(bytesMax))
    return false;
  if (Value *wanted = getAllocAlignment(&made, &library)) {
    auto *alignment = dyn_cast<ConstantInt>(wanted);
    if (!alignment || !alignment->getValue().isPowerOf2() || alignment->getValue().ugt(MostAlignment))
      return false;
    block.alignment = std::max(block.alignment, Align(alignment->getZExtValue()));
  }
  block.made = &made;
  block.bytes = size->getZExtValue();
  block.zeroed = !isa<UndefValue>(initial);
  return block.zeroed ? initial->isNullValue() : true;
}

// Whether a call that gets the address at `use` keeps it to itself; records frees.
bool callKeeps(CallBase &call, const Use &use, bool isStart, const TargetLibraryInfo &library, Block &block) {
  auto *plain = dyn_cast<CallInst>(&call);
  if (!plain || plain->isMustTailCall() || getReallocatedOperand(&call))
    return false;
  if (getFreedOperand(&call, &library) == use.get()) {
    block.freed.insert(plain);
    return isStart;
  }
  if (!call.isArgOperand(&use))
    return false;
  if (auto *memory = dyn_cast<MemIntrinsic>(&call)) {
    block.seenBy.push_back(plain);
    return !memory->isVolatile();
  }
  unsigned index = call.getArgOperandNo(&use);
  bool frees = !call.hasFnAttr(Attribute::NoFree) && !call.paramHasAttr(index, Attribute::NoFree) &&
               !call.onlyReadsMemory(index) && !call.onlyReadsMemory();
  if (!call.doesNotCapture(index) || frees || call.isByValArgument(index))
    return false;
  block.seenBy.push_back(plain);
  return true;
}

// Whether the address leaves the function by no use. `derived` collects everything that points into the block.
bool addressStays(Block &block, const TargetLibraryInfo &library) {
  SmallPtrSet<Value *, 16> derived;
  SmallVector<Value *, 16> work;
  SmallVector<ICmpInst *, 4> compared;
  auto add = [&](Value *value) {
    if (derived.insert(value).second)
      work.push_back(value);
  };
  add(block.made);
  while (!work.empty()) {
    Value *value = work.pop_back_val();
    for (const Use &use : value->uses()) {
      auto *user = cast<Instruction>(use.getUser());
      if (auto *load = dyn_cast<LoadInst>(user); load && load->isSimple())
        continue;
      if (auto *store = dyn_cast<StoreInst>(user);
          store && store->isSimple() && use.getOperandNo() == StoreInst::getPointerOperandIndex())
        continue;
      if (isa<GetElementPtrInst, PHINode, SelectInst>(user))
        add(user);
      else if (auto *compare = dyn_cast<ICmpInst>(user))
        compared.push_back(compare);
      else if (auto *call = dyn_cast<CallBase>(user);
               !call || !callKeeps(*call, use, value == block.made, library, block))
        return false;
    }
  }
  // Compared with null, or with another place in itself: the same answer wherever the block lies.
  return all_of(compared, [&](ICmpInst *compare) {
    auto inside = [&](Value *operand) { return derived.contains(operand) && !isa<PHINode, SelectInst>(operand); };
    auto known = [&](Value *operand) { return isa<ConstantPointerNull>(operand) || derived.contains(operand); };
    Value *left = compare->getOperand(0), *right = compare->getOperand(1);
    return known(left) && known(right) && (compare->isEquality() || (derived.contains(left) && derived.contains(right))) &&
           (inside(left) || inside(right));
  });
}

// The successors that are possible where the block was made: it is not null.
SmallVector<BasicBlock *, 2> successorsWith(const Block &block, BasicBlock &from) {
  auto *branch = dyn_cast<BranchInst>(from.getTerminator());
  auto *compare = branch && branch->isConditional() ? dyn_cast<ICmpInst>(branch->getCondition()) : nullptr;
  bool tested = compare && compare->isEquality() && compare->getOperand(0) == block.made &&
                isa<ConstantPointerNull>(compare->getOperand(1));
  if (tested)
    return {branch->getSuccessor(compare->getPredicate() == ICmpInst::ICMP_EQ ? 1 : 0)};
  return SmallVector<BasicBlock *, 2>(successors(&from));
}

// Whether every path from the block's making frees it before it returns or makes it again.
bool alwaysFreed(const Block &block) {
  SmallPtrSet<BasicBlock *, 16> seen;
  SmallVector<Instruction *, 16> work{block.made->getNextNode()};
  while (!work.empty()) {
    Instruction *at = work.pop_back_val();
    bool ended = false;
    for (; at && !ended; at = at->getNextNode()) {
      if (at == block.made || isa<ReturnInst, ResumeInst>(at))
        return false;
      ended = block.freed.contains(at);
      if (ended || !at->isTerminator())
        continue;
      for (BasicBlock *next : successorsWith(block, *at->getParent()))
        if (seen.insert(next).second)
          work.push_back(&next->front());
    }
  }
  return !block.freed.empty();
}

// Whether the function may be entered again from within: then every byte of its frame counts many times.
bool isReentrant(Function &function, const TargetLibraryInfo &library) {
  if (function.doesNotRecurse())
    return false;
  return any_of(instructions(function), [&](Instruction &instruction) {
    auto *call = dyn_cast<CallBase>(&instruction);
    if (!call || isa<IntrinsicInst>(call) || call->hasFnAttr(Attribute::NoCallback))
      return false;
    Function *callee = call->getCalledFunction();
    LibFunc known;
    bool calledBack = callee && (callee->getName() == "qsort" || callee->getName() == "bsearch");
    bool isLibrary = callee && !calledBack && callee->isDeclaration() && library.getLibFunc(*callee, known);
    return !isLibrary && !isAllocationFn(call, &library) && !getFreedOperand(call, &library);
  });
}

void lower(const Block &block, Function &function) {
  BasicBlock &entry = function.getEntryBlock();
  IRBuilder<> first(&entry, entry.getFirstInsertionPt());
  AllocaInst *place = first.CreateAlloca(ArrayType::get(first.getInt8Ty(), block.bytes), nullptr, "block");
  place->setAlignment(block.alignment);
  IRBuilder<> begin(block.made);
  begin.CreateLifetimeStart(place);
  if (block.zeroed)
    // In place: the base may know no memset to call.
    begin.CreateMemSetInline(place, block.alignment, begin.getInt8(0), begin.getInt64(block.bytes));
  for (Instruction *freed : block.freed) {
    IRBuilder<>(freed).CreateLifetimeEnd(place);
    freed->eraseFromParent();
  }
  for (CallInst *call : block.seenBy)
    call->setTailCall(false);
  block.made->replaceAllUsesWith(place);
  block.made->eraseFromParent();
}

} // namespace

// Gives the number of allocations that moved to the stack of `root`: blocks of `bytesMax` together at most, of
// `reentrantBytesMax` where the function may be entered again from what it calls.
extern "C" unsigned tidegate_lower_allocations(LLVMValueRef root, LLVMTargetMachineRef machine, uint64_t bytesMax,
                                               uint64_t reentrantBytesMax) {
  Function &function = *unwrap<Function>(root);
  Analyses with(function, machine);
  const TargetLibraryInfo &library = with.library();
  uint64_t left = isReentrant(function, library) ? reentrantBytesMax : bytesMax;
  SmallVector<CallInst *, 8> calls;
  for (Instruction &instruction : instructions(function))
    if (auto *call = dyn_cast<CallInst>(&instruction))
      calls.push_back(call);
  unsigned moved = 0;
  SmallPtrSet<Instruction *, 8> gone;
  for (CallInst *call : calls) {
    Block block;
    if (gone.contains(call) || !describe(*call, library, left, block) || !addressStays(block, library) ||
        !alwaysFreed(block))
      continue;
    left -= block.bytes;
    with.remarks().emit([&] {
      return OptimizationRemark("tidegate-allocations", "MovedToStack", block.made)
             << "a block of " << ore::NV("Bytes", block.bytes) << " bytes is made on the stack";
    });
    gone.insert(block.freed.begin(), block.freed.end());
    lower(block, function);
    ++moved;
  }
  return moved;
}
