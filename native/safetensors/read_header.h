#pragma once
#include <cstdint>
#include <string>

#include "safetensors/header.h"

namespace branchmerge {

/// One safetensors file as its header describes it.
struct HeaderFile {
  Header header;
  uint64_t bytes;        // size of the file that the header was checked against
  uint64_t header_hash;  // XXH64 of the 8 length bytes and the JSON text
};

/// Opens a safetensors file and reads and validates its header; never holds more of it than the file has.
/// Throws Error: ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ, ERR_FILE_CHANGED and the codes of parse_header.
HeaderFile read_header(const std::string& path);

}  // namespace branchmerge
