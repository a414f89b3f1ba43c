#include "shim/core/command_stream.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <system_error>

#include "protocol/base/log.h"
#include "protocol/base/tsan.h"

namespace accelmesh {
namespace {

// A batch leaves when it is this large even if the flusher has not come by.
constexpr std::size_t kBatchBytes = 48 * 1024;
// A posted command leaves within 50 us (SEMANTICS.md 2); the sleep is shorter because timers fire late.
constexpr std::chrono::microseconds kGather{30};
// How many idle rounds the flusher stays awake before it sleeps until it is woken.
constexpr int kIdleRounds = 20;
constexpr std::chrono::milliseconds kWaitSlice{200};
constexpr std::size_t kRepliesMax = 4096;

constexpr int kLastWordsMax = 300;

// Sending found the connection's end: what the server sent before it, why perhaps, is still received.
void TakeLastWords(CommandStream& stream) {
  for (int i = 0; i < kLastWordsMax && !stream.closed(); ++i) {
    stream.Poll();
    if (!stream.closed()) ::usleep(1000);
  }
}

void AppendBytes(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

// On every launch's way.
[[gnu::always_inline]] inline void PutRecord(Bytes& out, std::uint16_t command, ByteView body, ByteView payload) {
  RecordHeaderValue header;
  header.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), payload.size()));
  header.body_bytes = static_cast<std::uint32_t>(body.size());
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  header.command = command;
  const std::size_t start = out.size();
  out.resize(start + header.bytes);
  std::uint8_t* at = out.data() + start;
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), body.data(), body.size());
  if (!payload.empty()) std::memcpy(at + sizeof(header) + body.size(), payload.data(), payload.size());
}

void StartFrame(Bytes& out, std::uint64_t first_sequence) {
  FrameHeaderValue header;
  header.first_sequence = first_sequence;
  AppendBytes(out, AsBytes(header));
}

Status NotInTime() {
  return {Code::kDeadlineExceeded, "CommandStream::WaitUntil", "the server did not get there in time"};
}

void FinishFrame(Bytes& frame, std::uint32_t records) {
  std::memcpy(frame.data() + offsetof(FrameHeaderValue, records), &records, sizeof(records));
}

}  // namespace

void AppendRecord(Bytes& out, std::uint16_t command, ByteView body, ByteView payload) {
  PutRecord(out, command, body, payload);
}

void CommandBatch::AddRecord(std::uint16_t command, ByteView body, ByteView payload) {
  AppendRecord(bytes_, command, body, payload);
  ends_.push_back(bytes_.size());
}

CommandStream::CommandStream(std::unique_ptr<ClientChannel> channel, std::function<void(std::string_view)> output)
    : channel_(std::move(channel)), output_(std::move(output)) {
  batch_.reserve(kBatchBytes + limits::kRecordBytesMax);
}

CommandStream::~CommandStream() { Close(); }

bool CommandStream::StartFlusher() {
  const MutexLock lock(flusher_mu_);
  if (has_flusher_.load(std::memory_order_relaxed)) return true;
  if (stop_flusher_) return false;
  // The program's signals are for its own threads: the flusher inherits a full mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    flusher_ = std::thread([this] { FlusherMain(); });
    has_flusher_.store(true, std::memory_order_release);
  } catch (const std::system_error& error) {
    if (!flusher_failed_) log::Warning("CommandStream", std::string("no thread for gathering: ") + error.what());
    flusher_failed_ = true;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return has_flusher_.load(std::memory_order_relaxed);
}

void CommandStream::WakeFlusher() {
  const MutexLock lock(flusher_mu_);
  flusher_asleep_.store(false, std::memory_order_seq_cst);
  flusher_cv_.NotifyOne();
}

[[gnu::always_inline]] inline Status CommandStream::AppendLocked(std::uint16_t command, ByteView body, ByteView payload,
                                                                 bool at_once, bool* gathers) {
  if (batch_.empty()) StartFrame(batch_, next_sequence_);
  PutRecord(batch_, command, body, payload);
  ++batch_records_;
  const std::uint64_t sequence = next_sequence_++;
  bool leaves = at_once || batch_.size() >= kBatchBytes;
  // With nothing under way there is nothing to gather behind: the first command goes at once, and those that follow
  // before it is acknowledged share a frame (Nagle's rule, RFC 896).
  if (!leaves && batch_records_ == 1) {
    leaves = progress().acknowledged.load(std::memory_order_acquire) + 1 == sequence;
  }
  if (leaves) return FlushLocked();
  *gathers = *gathers || batch_records_ == 1;
  return Status::Ok();
}

Result<std::uint64_t> CommandStream::Append(std::uint16_t command, ByteView body, ByteView payload, bool urgent) {
  if (RecordBytes(body.size(), payload.size()) > limits::kRecordBytesMax) {
    return Status(Code::kLimitExceeded, "CommandStream::Append.payload",
                  std::to_string(payload.size()) + " bytes do not fit into a command");
  }
  if (closed()) return Status(Code::kClosed, "CommandStream::Append", "the session has ended");
  const bool at_once = urgent || channel_->traits().flush_each_append;
  std::uint64_t sequence = 0;
  bool gathers = false;
  {
    const MutexLock lock(append_mu_);
    sequence = next_sequence_;
    ACCELMESH_RETURN_IF_ERROR(AppendLocked(command, body, payload, at_once, &gathers));
  }
  if (gathers) ACCELMESH_RETURN_IF_ERROR(LeaveToFlusher());
  return sequence;
}

Status CommandStream::LeaveToFlusher() {
  if (!HasFlusher()) return Flush();
  if (flusher_asleep_.load(std::memory_order_seq_cst)) WakeFlusher();
  return Status::Ok();
}

Result<std::uint64_t> CommandStream::Post(const CommandBatch& batch) {
  statistics_.posts.fetch_add(batch.size(), std::memory_order_relaxed);
  if (closed()) return Status(Code::kClosed, "CommandStream::Post", "the session has ended");
  const bool at_once = channel_->traits().flush_each_append;
  std::uint64_t sequence = 0;
  bool gathers = false;
  {
    const MutexLock lock(append_mu_);
    sequence = next_sequence_;
    std::size_t begin = 0;
    for (const std::size_t end : batch.ends_) {
      const ByteView record = ByteView(batch.bytes_).subspan(begin, end - begin);
      begin = end;
      RecordHeaderValue header;
      std::memcpy(&header, record.data(), sizeof(header));
      const ByteView rest = record.subspan(sizeof(header));
      ACCELMESH_RETURN_IF_ERROR(AppendLocked(header.command, rest.first(header.body_bytes),
                                             rest.subspan(header.body_bytes, header.payload_bytes), at_once, &gathers));
    }
  }
  if (gathers) ACCELMESH_RETURN_IF_ERROR(LeaveToFlusher());
  return sequence;
}

Status CommandStream::AppendSide(std::uint16_t command, ByteView body) {
  TsanReleaseToPeer();
  const MutexLock lock(side_mu_);
  Bytes frame;
  StartFrame(frame, next_side_sequence_++);
  AppendRecord(frame, command, body, {});
  FinishFrame(frame, 1);
  Status sent = channel_->Send(UpLane::kSide, frame, Deadline::Never());
  if (!sent.ok()) {
    TakeLastWords(*this);
    End();
  }
  return sent;
}

Status CommandStream::SendBulk(std::uint64_t token, ByteView body) {
  return NoteBulk(body.size(),
                  SendReceiving([&](Deadline deadline) { return channel_->SendBulk(token, body, deadline); }));
}

Status CommandStream::SendBulkToDevice(std::uint64_t token, ByteView body) {
  return NoteBulk(body.size(),
                  SendReceiving([&](Deadline deadline) { return channel_->SendBulkToDevice(token, body, deadline); }));
}

Status CommandStream::NoteBulk(std::size_t bytes, Status sent) {
  if (!sent.ok()) {
    TakeLastWords(*this);
    End();
    return sent;
  }
  statistics_.bulk_up_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return sent;
}

Status CommandStream::Flush() {
  const MutexLock lock(append_mu_);
  return FlushLocked();
}

Status CommandStream::FlushLocked() {
  if (batch_.empty()) return Status::Ok();
  FinishFrame(batch_, batch_records_);
  statistics_.frames.fetch_add(1, std::memory_order_relaxed);
  statistics_.command_bytes.fetch_add(batch_.size(), std::memory_order_relaxed);
  const Status sent = SendReceiving([this, frame = ByteView(batch_)](Deadline deadline) {
    return channel_->Send(UpLane::kCommand, frame, deadline);
  });
  if (!sent.ok()) {
    TakeLastWords(*this);
    End();
    return sent;
  }
  // A connection through shared memory cannot break while both processes live, so nothing is kept for resending there.
  if (!channel_->traits().shares_memory) {
    retained_bytes_ += batch_.size();
    retained_.emplace_back(next_sequence_ - 1, batch_);
    ReleaseAcknowledged();
    // Beyond the bound posting waits; the log shrinks as acknowledgements are received, by whoever pumps.
    while (retained_bytes_ > limits::kRetainedLogBytesMax) {
      ACCELMESH_RETURN_IF_ERROR(TakeInSomething(Deadline::Never(), [] { return false; }));
      ReleaseAcknowledged();
    }
  }
  batch_.clear();
  batch_records_ = 0;
  return Status::Ok();
}

void CommandStream::ReleaseAcknowledged() {
  const std::uint64_t acknowledged = progress().acknowledged.load(std::memory_order_acquire);
  while (!retained_.empty() && retained_.front().first <= acknowledged) {
    retained_bytes_ -= retained_.front().second.size();
    retained_.pop_front();
  }
}

Result<std::uint64_t> CommandStream::BeginCallBytes(std::uint16_t command, ByteView body, ByteView payload) {
  statistics_.calls.fetch_add(1, std::memory_order_relaxed);
  return Append(command, body, payload, /*urgent=*/true);
}

Result<Reply> CommandStream::CallBytes(std::uint16_t command, ByteView body, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t sequence, BeginCallBytes(command, body));
  return FinishCall(sequence, deadline);
}

// A caller that waits for its reply; lies on its stack, listed in waiting_calls_ meanwhile.
struct CommandStream::WaitingCall {
  std::uint64_t sequence = 0;
  WaitingCall* next = nullptr;
  Reply reply;
  std::atomic<bool> is_answered{false};  // set behind `reply` by whoever takes it off the list
};

Result<Reply> CommandStream::FinishCall(std::uint64_t sequence, Deadline deadline) {
  WaitingCall call;
  call.sequence = sequence;
  {
    const MutexLock lock(reply_mu_);
    const auto early = early_replies_.find(sequence);
    if (early != early_replies_.end()) {
      const bool is_whole = early->second.is_whole;
      call.reply = std::move(early->second.reply);
      early_reply_bytes_ -= call.reply.body.size();
      early_replies_.erase(early);
      if (is_whole) return std::move(call.reply);
    }
    call.next = waiting_calls_;
    waiting_calls_ = &call;
  }
  // A call leaves when it is made: there is nothing to flush.
  const auto answered = [&call] { return call.is_answered.load(std::memory_order_acquire); };
  Status waited;
  while (waited.ok() && !answered()) waited = TakeInSomething(deadline, answered);
  if (!answered()) {
    const MutexLock lock(reply_mu_);
    WaitingCall** link = &waiting_calls_;
    while (*link != nullptr && *link != &call) link = &(*link)->next;
    // What came together with the end of the connection counts.
    if (*link == &call) {
      *link = call.next;
      return waited;
    }
  }
  return std::move(call.reply);
}

namespace {

// Adds what a frame carries of a reply; false if it is more than a reply may be.
bool AddPart(const wire::Down& down, Reply* reply) {
  reply->device_status = down.device_status();
  reply->code = down.code();
  if (down.text() != nullptr) reply->text = down.text()->string_view();
  if (down.body() == nullptr) return true;
  if (down.body()->size() > limits::kReplyBytesMax - reply->body.size()) return false;
  reply->body.insert(reply->body.end(), down.body()->begin(), down.body()->end());
  return true;
}

}  // namespace

bool CommandStream::TakeReply(const wire::Down& down, bool is_last) {
  const MutexLock lock(reply_mu_);
  for (WaitingCall** link = &waiting_calls_; *link != nullptr; link = &(*link)->next) {
    WaitingCall* const call = *link;
    if (call->sequence != down.sequence()) continue;
    if (!AddPart(down, &call->reply)) return false;
    if (!is_last) return true;
    *link = call->next;
    call->is_answered.store(true, std::memory_order_release);  // it may be gone after this
    return true;
  }
  // The caller has not come to its wait yet. A server that answers what nobody asked must not fill our memory.
  if (early_replies_.size() >= kRepliesMax) return false;
  EarlyReply& early = early_replies_[down.sequence()];
  early_reply_bytes_ -= early.reply.body.size();
  const bool fits = !early.is_whole && AddPart(down, &early.reply);
  early.is_whole = is_last;
  early_reply_bytes_ += early.reply.body.size();
  return fits && early_reply_bytes_ <= limits::kReplyBytesMax;
}

Status CommandStream::PumpOnce(Deadline deadline) {
  if (closed()) {
    EndPump();
    return {Code::kClosed, "CommandStream::WaitUntil", "the connection to the server has ended"};
  }
  Status pumped = channel_->Pump(*this, Deadline(std::min(deadline.at(), slice_end_)));
  Instant now{};
  if (pumped.code() == Code::kDeadlineExceeded) {
    now = Clock::now();
    slice_end_ = now + kWaitSlice;
  }
  EndPump();
  if (pumped.ok()) return pumped;
  if (pumped.code() == Code::kDeadlineExceeded) return now < deadline.at() ? Status::Ok() : NotInTime();
  End();
  // What arrived together with the end was delivered; the caller looks once more before it gives up.
  return pumped;
}

Status CommandStream::WaitForPump(std::uint64_t round, Deadline deadline) {
  const Instant slice = std::min(deadline.at(), Clock::now() + kWaitSlice);
  {
    const MutexLock lock(pump_mu_);
    while (pump_round_.load(std::memory_order_relaxed) == round && pumping_.load(std::memory_order_seq_cst) &&
           pump_cv_.WaitUntil(pump_mu_, slice)) {
    }
  }
  return slice < deadline.at() || Clock::now() < deadline.at() ? Status::Ok() : NotInTime();
}

void CommandStream::EndPump() {
  pumping_.store(false, std::memory_order_seq_cst);
  if (pump_waiters_.load(std::memory_order_seq_cst) == 0) return;
  {
    const MutexLock lock(pump_mu_);
    pump_round_.fetch_add(1, std::memory_order_seq_cst);
  }
  pump_cv_.NotifyAll();
}

void CommandStream::Poll() {
  if (closed() || pumping_.exchange(true, std::memory_order_acquire)) return;
  const Status pumped = channel_->Pump(*this, Deadline::Poll());
  EndPump();
  if (pumped.code() == Code::kClosed) End();
}

void CommandStream::EndForBadServer(const char* what) {
  log::Error("CommandStream::OnFrame", std::string("the server ") + what + "; the session ends");
  End();
  channel_->Close();
}

void CommandStream::OnFrame(ByteView frame) {
  flatbuffers::Verifier verifier(frame.data(), frame.size());
  if (!verifier.VerifyBuffer<wire::Down>(nullptr)) return EndForBadServer("sends a frame that does not verify");
  const auto& down = *flatbuffers::GetRoot<wire::Down>(frame.data());
  const std::string_view text = down.text() != nullptr ? down.text()->string_view() : std::string_view{};
  switch (down.kind()) {
    case wire::DownKind::Reply:
    case wire::DownKind::ReplyPart:
      if (!TakeReply(down, down.kind() == wire::DownKind::Reply)) {
        EndForBadServer("answers more than was asked");
      }
      break;
    case wire::DownKind::ErrorText: log::Error("device", std::string(text)); break;
    case wire::DownKind::Output:
      if (down.device_status() != 0) {
        // A failed assertion, in CUDA's words: the program's own stderr, as it stands.
        std::fwrite(text.data(), 1, text.size(), stderr);
      } else if (output_) {
        output_(text);
      }
      break;
  }
}

void CommandStream::FlusherMain() {
  // Timers of ordinary threads may fire 50 us late; this one's whole point is to be earlier than that.
  ::prctl(PR_SET_TIMERSLACK, 1000UL);
  ::prctl(PR_SET_NAME, "accelmesh-flush");
  int idle_rounds = 0;
  while (true) {
    {
      const MutexLock lock(flusher_mu_);
      if (idle_rounds > kIdleRounds) {
        flusher_asleep_.store(true, std::memory_order_seq_cst);
        bool gathered = false;
        {
          // What was added just before the flag was set did not wake us: look once more.
          const MutexLock append_lock(append_mu_);
          gathered = !batch_.empty() || pending_effects_.load(std::memory_order_seq_cst) > 0;
        }
        if (!gathered) {
          while (!stop_flusher_ && flusher_asleep_.load(std::memory_order_relaxed)) flusher_cv_.Wait(flusher_mu_);
        }
        flusher_asleep_.store(false, std::memory_order_seq_cst);
        idle_rounds = 0;
      }
      if (stop_flusher_) return;
    }
    std::this_thread::sleep_for(kGather);
    bool had_work = false;
    {
      const MutexLock lock(append_mu_);
      had_work = !batch_.empty();
      if (had_work && !FlushLocked().ok()) return;
    }
    if (pending_effects_.load(std::memory_order_relaxed) > 0) {
      had_work = true;
      if (!TakeInSomething(Deadline::After(std::chrono::milliseconds(1)), [] { return false; }).ok() && closed())
        return;
    }
    idle_rounds = had_work ? 0 : idle_rounds + 1;
  }
}

void CommandStream::Abandon() {
  End();
  {
    const MutexLock lock(flusher_mu_);
    stop_flusher_ = true;
    flusher_cv_.NotifyOne();
  }
  if (flusher_.joinable()) flusher_.join();
  channel_->Close();
}

void CommandStream::Close() {
  if (!closed()) {
    Status flushed = Flush();
    if (flushed.ok()) flushed = PostSide(wire::Goodbye(0));
    if (!flushed.ok()) log::Debug("CommandStream::Close", flushed.ToString());
  }
  Abandon();
}

}  // namespace accelmesh
