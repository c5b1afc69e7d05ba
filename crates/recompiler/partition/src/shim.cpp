// The few things that LLVM's C API cannot do. Mechanism only: what to select, what to inline and what to refuse
// is decided in Rust, which this file calls back.

#include "llvm-c/Core.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/GlobalAlias.h"
#include "llvm/IR/GlobalIFunc.h"
#include "llvm/IR/GlobalVariable.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/PassManager.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/Compression.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include "llvm/Transforms/Utils/ValueMapper.h"

using namespace llvm;

extern "C" {
// Implemented in Rust.
void tidegate_at_early(LLVMModuleRef module, unsigned level, unsigned size_level);
void tidegate_at_last(LLVMModuleRef module);
}

namespace {

struct EarlyPass : PassInfoMixin<EarlyPass> {
  OptimizationLevel level;
  explicit EarlyPass(OptimizationLevel level) : level(level) {}
  PreservedAnalyses run(Module &module, ModuleAnalysisManager &) {
    tidegate_at_early(wrap(&module), level.getSpeedupLevel(), level.getSizeLevel());
    return PreservedAnalyses::none();
  }
  static bool isRequired() { return true; }
};

struct LastPass : PassInfoMixin<LastPass> {
  PreservedAnalyses run(Module &module, ModuleAnalysisManager &) {
    tidegate_at_last(wrap(&module));
    return PreservedAnalyses::none();
  }
  static bool isRequired() { return true; }
};

// What Rust answers for a global value that a split module comes to refer to.
enum Decision : unsigned { Declare = 0, WithBody = 1 };

typedef unsigned (*Decide)(void *state, LLVMValueRef value, unsigned depth);

// Clones one function and, on demand, what it refers to, into a module of its own.
class Splitter final : public ValueMaterializer {
public:
  Splitter(Module &target, Decide decide, void *state) : target(target), decide(decide), state(state) {}

  void run(Function &root) {
    depth = 0;
    Function *copy = declare(root);
    map[&root] = copy;
    pendingFunctions.push_back({&root, copy, 0});
    while (!pendingFunctions.empty() || !pendingVariables.empty()) {
      if (!pendingFunctions.empty()) {
        Pending<Function> next = pendingFunctions.pop_back_val();
        depth = next.depth + 1;
        cloneBody(*next.from, *next.to);
        if (next.from != &root)
          next.to->setLinkage(GlobalValue::AvailableExternallyLinkage);
        continue;
      }
      Pending<GlobalVariable> next = pendingVariables.pop_back_val();
      depth = next.depth + 1;
      next.to->setInitializer(MapValue(next.from->getInitializer(), map, RF_None, nullptr, this));
      next.to->setLinkage(GlobalValue::AvailableExternallyLinkage);
    }
  }

  Value *materialize(Value *value) override {
    auto *global = dyn_cast<GlobalValue>(value);
    if (!global)
      return nullptr;
    if (!global->hasName())
      global->setName("tidegate.unnamed");
    bool body = decide(state, wrap(value), depth) == WithBody;
    if (auto *function = dyn_cast<Function>(global)) {
      Function *copy = declare(*function);
      if (body)
        pendingFunctions.push_back({function, copy, depth});
      return copy;
    }
    if (auto *variable = dyn_cast<GlobalVariable>(global)) {
      auto *copy = new GlobalVariable(target, variable->getValueType(), variable->isConstant(),
                                      linkageOf(*variable), nullptr, variable->getName(), nullptr,
                                      variable->getThreadLocalMode(), variable->getAddressSpace());
      copy->setAlignment(variable->getAlign());
      copy->setUnnamedAddr(variable->getUnnamedAddr());
      if (body)
        pendingVariables.push_back({variable, copy, depth});
      return copy;
    }
    // Aliases and ifuncs: only their symbol is known, not whether it differs from another.
    if (auto *type = dyn_cast<FunctionType>(global->getValueType()))
      return Function::Create(type, GlobalValue::ExternalWeakLinkage, global->getAddressSpace(), global->getName(),
                              &target);
    return new GlobalVariable(target, global->getValueType(), false, GlobalValue::ExternalLinkage, nullptr,
                              global->getName(), nullptr, global->getThreadLocalMode(), global->getAddressSpace());
  }

private:
  template <class T> struct Pending {
    T *from;
    T *to;
    unsigned depth;
  };

  // What nobody may define stays so: its address may be null.
  static GlobalValue::LinkageTypes linkageOf(const GlobalValue &from) {
    return from.hasExternalWeakLinkage() ? GlobalValue::ExternalWeakLinkage : GlobalValue::ExternalLinkage;
  }

  Function *declare(Function &from) {
    Function *copy = Function::Create(from.getFunctionType(), linkageOf(from), from.getAddressSpace(), from.getName(),
                                      &target);
    copy->setCallingConv(from.getCallingConv());
    copy->setAttributes(from.getAttributes());
    copy->setUnnamedAddr(from.getUnnamedAddr());
    copy->setAlignment(from.getAlign());
    return copy;
  }

  void cloneBody(Function &from, Function &to) {
    auto parameter = to.arg_begin();
    for (Argument &argument : from.args()) {
      parameter->setName(argument.getName());
      map[&argument] = &*parameter++;
    }
    SmallVector<ReturnInst *, 8> returns;
    CloneFunctionInto(&to, &from, map, CloneFunctionChangeType::DifferentModule, returns, "", nullptr, nullptr, this);
    to.setPrefixData(nullptr);
    to.setPrologueData(nullptr);
    to.setSection("");
    to.setComdat(nullptr);
  }

  Module &target;
  Decide decide;
  void *state;
  unsigned depth = 0;
  ValueToValueMapTy map;
  SmallVector<Pending<Function>, 16> pendingFunctions;
  SmallVector<Pending<GlobalVariable>, 16> pendingVariables;
};

} // namespace

extern "C" {

void tidegate_shim_register(void *builder) {
  auto &passes = *static_cast<PassBuilder *>(builder);
  passes.registerOptimizerEarlyEPCallback(
      [](ModulePassManager &manager, OptimizationLevel level, ThinOrFullLTOPhase) { manager.addPass(EarlyPass(level)); });
  passes.registerOptimizerLastEPCallback(
      [](ModulePassManager &manager, OptimizationLevel, ThinOrFullLTOPhase) { manager.addPass(LastPass()); });
}

LLVMModuleRef tidegate_shim_split(LLVMValueRef root, Decide decide, void *state) {
  Function &function = *unwrap<Function>(root);
  Module &source = *function.getParent();
  auto target = std::make_unique<Module>("tidegate", source.getContext());
  target->setTargetTriple(source.getTargetTriple());
  target->setDataLayout(source.getDataLayout());
  if (NamedMDNode *flags = source.getModuleFlagsMetadata())
    for (MDNode *flag : flags->operands())
      target->getOrInsertModuleFlagsMetadata()->addOperand(flag);
  Splitter(*target, decide, state).run(function);
  return wrap(target.release());
}

int tidegate_shim_is_dso_local(LLVMValueRef value) { return unwrap<GlobalValue>(value)->isDSOLocal(); }

void tidegate_shim_set_dso_local(LLVMValueRef value, int local) { unwrap<GlobalValue>(value)->setDSOLocal(local); }

int tidegate_shim_is_interposable(LLVMValueRef value) { return unwrap<GlobalValue>(value)->isInterposable(); }

int tidegate_shim_has_comdat(LLVMValueRef value) { return unwrap<GlobalValue>(value)->hasComdat(); }

// Keeps sanitizers from padding the variable.
void tidegate_shim_no_sanitize(LLVMValueRef value) {
  GlobalValue::SanitizerMetadata metadata;
  metadata.NoAddress = true;
  metadata.NoHWAddress = true;
  unwrap<GlobalVariable>(value)->setSanitizerMetadata(metadata);
}

int tidegate_shim_has_metadata(LLVMValueRef value, const char *kind) {
  return unwrap<GlobalObject>(value)->hasMetadata(kind);
}

// Whether the instruction closes a loop that the user wants in vectors.
int tidegate_shim_asks_for_vectors(LLVMValueRef instruction) {
  MDNode *loop = unwrap<Instruction>(instruction)->getMetadata(LLVMContext::MD_loop);
  auto above = [&](StringRef name, uint64_t least) {
    MDNode *option = loop ? findOptionMDForLoopID(loop, name) : nullptr;
    auto *value = option && option->getNumOperands() == 2 ? mdconst::dyn_extract<ConstantInt>(option->getOperand(1))
                                                          : nullptr;
    return value && value->getValue().ugt(least);
  };
  return above("llvm.loop.vectorize.enable", 0) || above("llvm.loop.vectorize.width", 1);
}

int tidegate_shim_is_library_function(LLVMValueRef value) {
  Function &function = *unwrap<Function>(value);
  TargetLibraryInfoImpl library(Triple(function.getParent()->getTargetTriple()));
  LibFunc known;
  return library.getLibFunc(function.getName(), known);
}

// Bytes that the value's type takes in memory; 0 where it has no fixed size.
uint64_t tidegate_shim_size_of(LLVMValueRef value) {
  auto &global = *unwrap<GlobalValue>(value);
  if (!global.getValueType()->isSized())
    return 0;
  return global.getParent()->getDataLayout().getTypeAllocSize(global.getValueType()).getKnownMinValue();
}

// Compresses into a memory buffer with zstd; null where LLVM has none.
LLVMMemoryBufferRef tidegate_shim_compress(const uint8_t *bytes, size_t length, int level) {
  if (!compression::zstd::isAvailable())
    return nullptr;
  SmallVector<uint8_t, 0> compressed;
  compression::zstd::compress(ArrayRef<uint8_t>(bytes, length), compressed, level);
  return LLVMCreateMemoryBufferWithMemoryRangeCopy(reinterpret_cast<const char *>(compressed.data()), compressed.size(),
                                                   "blob");
}

// Decompresses exactly `length` bytes; null where the frame is not of that length or damaged.
LLVMMemoryBufferRef tidegate_shim_decompress(const uint8_t *bytes, size_t compressed, size_t length) {
  if (!compression::zstd::isAvailable())
    return nullptr;
  SmallVector<uint8_t, 0> output;
  Error error = compression::zstd::decompress(ArrayRef<uint8_t>(bytes, compressed), output, length);
  if (error) {
    consumeError(std::move(error));
    return nullptr;
  }
  if (output.size() != length)
    return nullptr;
  return LLVMCreateMemoryBufferWithMemoryRangeCopy(reinterpret_cast<const char *>(output.data()), output.size(), "blob");
}
}
