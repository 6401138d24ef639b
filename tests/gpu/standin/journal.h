// What every stand-in library tells the journal, which lies in libcudart: one line of a function for each kind of event.
#pragma once
#include <cstddef>
#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

// Totals since the last reset, in the order in which counts.py reads them.
struct Counts {
  uint64_t launches;     // of kernels and products outside of captures
  uint64_t nodes;        // work that was captured, and not run
  uint64_t captures;     // graphs that were made of it
  uint64_t replays;      // launches of such graphs
  uint64_t replayed;     // their nodes
  uint64_t copies_in;    // from the host to the device
  uint64_t bytes_in;
  uint64_t copies_out;   // from the device to the host
  uint64_t bytes_out;
  uint64_t waits;        // calls in which the host waits for work on a stream; what ends a copy is part of the copy
  uint64_t allocations;  // of device memory
  uint64_t cudnn;        // calls that compute with cuDNN
  uint64_t violations;   // of what a capture allows, and of memory that a replay needs
  uint64_t alive;        // bytes of device memory now
};

// Work on a stream: a node where it is captured, a launch otherwise. `operands` are the device pointers it is known by.
EXPORT void journal_work(const char* kind, const char* detail, const void* const* operands, int count);
EXPORT void journal_cudnn(const char* call);
