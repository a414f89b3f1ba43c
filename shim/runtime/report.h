// What the counted calls of a program come to, at its end: the table of `mesh-run --stats`, and what `--explain` says
// per library, as a text for people or a line of JSON.
//
// Threads: one, while no other calls CUDA. Errors: nobody hears of a report that cannot be written.
#pragma once

namespace accelmesh {

class ClientSession;

// Whatever was asked for, if anything was counted; a program that made no call has nothing to say. `session` may be
// null.
void PrintReports(ClientSession* session);

}  // namespace accelmesh
