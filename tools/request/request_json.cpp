#include "tools/request/request_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "scheduler/core/request_text.h"

namespace accelmesh {
namespace {

using scheduler::FunctionalRequest;

constexpr const char* kExample = R"(write an object like {"throughput": "0.05 TOPS fp32", "memory": "1GiB"})";

Status Bad(const std::string& text) { return {Code::kInvalidArgument, "ParseRequestJson", text}; }

// Takes the events of the parser, because a finished document has forgotten which of two equal names came first.
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  FunctionalRequest request;
  Status status;

  bool null() override { return Fail("null is no value; leave the field out"); }
  bool boolean(bool) override { return Fail("true and false are no values here; " + std::string(kExample)); }
  bool number_integer(number_integer_t value) override { return Value(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Value(std::to_string(value)); }
  // As it stands in the text, so that credits stay exact.
  bool number_float(number_float_t, const string_t& text) override { return Value(text); }
  bool string(string_t& text) override { return Value(text); }
  bool binary(binary_t&) override { return Fail("bytes are no value"); }

  bool start_object(std::size_t) override {
    if (depth_ == 0 && !in_list_) {
      depth_ = 1;
      return true;
    }
    if (depth_ != 1 || field_ != "throughput")
      return Fail("an object stands in throughput only; " + std::string(kExample));
    depth_ = 2;
    demand_.clear();
    return true;
  }
  bool end_object() override {
    if (depth_-- == 1) return true;
    std::string text;
    for (const char* part : {"tops", "dtype", "operation"}) {
      for (const auto& [name, value] : demand_) {
        if (name == part) text += (text.empty() ? "" : " ") + value + (name == "tops" ? " TOPS" : "");
      }
    }
    return Set(text);
  }
  bool start_array(std::size_t) override {
    if (depth_ != 1 || in_list_ || (field_ != "throughput" && field_ != "label")) {
      return Fail("a list stands in throughput and label only; " + std::string(kExample));
    }
    in_list_ = true;
    return true;
  }
  bool end_array() override {
    in_list_ = false;
    return true;
  }
  bool key(string_t& name) override {
    if (depth_ == 2) {
      const bool is_known = name == "tops" || name == "dtype" || name == "operation";
      if (!is_known) return Fail("a throughput has tops, dtype and operation, and nothing else");
      for (const auto& [before, value] : demand_) {
        if (before == name) return Fail(name + " stands twice in one throughput; keep one");
      }
      demand_.emplace_back(name, "");
      return true;
    }
    field_ = name;
    if (!seen_.insert(name).second) return Fail("a field stands twice; keep one");
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception&) override {
    return Fail("no JSON at character " + std::to_string(at) + "; " + kExample);
  }

 private:
  bool Fail(const std::string& text) {
    status = Bad(text);
    return false;
  }
  bool Set(const std::string& value) {
    status = scheduler::SetField(request, field_, value);
    return status.ok();
  }
  bool Value(const std::string& text) {
    if (depth_ == 0) return Fail(kExample);
    if (depth_ == 1) return Set(text);
    demand_.back().second = text;
    return true;
  }

  int depth_ = 0;
  bool in_list_ = false;
  std::string field_;
  std::set<std::string> seen_;
  std::vector<std::pair<std::string, std::string>> demand_;
};

}  // namespace

Result<FunctionalRequest> ParseRequestJson(std::string_view text) {
  if (text.size() > kRequestJsonBytesMax) {
    return Bad("longer than " + std::to_string(kRequestJsonBytesMax) + " characters; leave most of it out");
  }
  Reader reader;
  const bool is_read = nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  if (!reader.status.ok()) return reader.status;
  if (!is_read) return Bad(std::string("no JSON; ") + kExample);
  ACCELMESH_RETURN_IF_ERROR(Validate(reader.request));
  return std::move(reader.request);
}

}  // namespace accelmesh
