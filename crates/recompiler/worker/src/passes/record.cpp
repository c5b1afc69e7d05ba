// LLVM's own record of what its passes did, as YAML: registers spilled, bytes of stack, loops unrolled. It counts
// effects; nothing is decided by it. In C++, because the C API cannot ask for the record.

#include "llvm-c/Core.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LLVMRemarkStreamer.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace {

struct Record {
  std::string text;
  raw_string_ostream stream{text};
};

} // namespace

// Starts the record of a context; null where LLVM refuses.
extern "C" void *tidegate_record_begin(LLVMContextRef context) {
  auto *record = new Record;
  if (Error error = setupLLVMOptimizationRemarks(*unwrap(context), record->stream, "", "yaml", false)) {
    consumeError(std::move(error));
    delete record;
    return nullptr;
  }
  return record;
}

// Ends it and gives its text.
extern "C" LLVMMemoryBufferRef tidegate_record_end(LLVMContextRef context, void *begun) {
  auto *record = static_cast<Record *>(begun);
  finalizeLLVMOptimizationRemarks(*unwrap(context));
  record->stream.flush();
  LLVMMemoryBufferRef text = wrap(MemoryBuffer::getMemBufferCopy(record->text).release());
  delete record;
  return text;
}
