// Multi-head attention as NVIDIA's documentation writes it (cudnnMultiHeadAttnForward), a query step at a time, in long
// double: what the tests compare with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace attention_reference {

using Wide = long double;
using Numbers = std::vector<Wide>;

// Of a head: a row for each number that goes out. No rows: the vector goes out as it is.
struct Linear {
  std::vector<Numbers> matrix;
  Numbers bias;  // may be empty

  Numbers operator()(const Numbers& vector) const {
    if (matrix.empty()) return vector;
    Numbers result = bias;
    result.resize(matrix.size());
    for (std::size_t i = 0; i < matrix.size(); ++i) {
      for (std::size_t j = 0; j < vector.size(); ++j) result[i] += matrix[i][j] * vector[j];
    }
    return result;
  }
};

struct Model {
  Wide scale = 1;
  std::vector<Linear> queries, keys, values;  // by head
  std::vector<Linear> result;                 // by head, and summed; empty: heads are side by side
};

// What the query gets of the keys and values from `begin` to `end`; keep(head, key) multiplies what a key's share is.
template <typename Keep>
Numbers Attend(const Model& model, const Numbers& query, const std::vector<Numbers>& keys,
               const std::vector<Numbers>& values, int begin, int end, Keep keep) {
  Numbers result;
  for (std::size_t head = 0; head < model.queries.size(); ++head) {
    const Numbers q = model.queries[head](query);
    Numbers scores;
    for (int i = begin; i < end; ++i) {
      const Numbers k = model.keys[head](keys[static_cast<std::size_t>(i)]);
      Wide score = 0;
      for (std::size_t j = 0; j < q.size(); ++j) score += q[j] * k[j];
      scores.push_back(score * model.scale);
    }
    const Wide largest = scores.empty() ? 0 : *std::max_element(scores.begin(), scores.end());
    Wide sum = 0;
    for (Wide& score : scores) sum += score = std::exp(score - largest);
    Numbers context(model.values[head](values[0]).size());
    for (int i = begin; i < end; ++i) {
      const Numbers v = model.values[head](values[static_cast<std::size_t>(i)]);
      const Wide share = scores[static_cast<std::size_t>(i - begin)] / sum * keep(static_cast<int>(head), i);
      for (std::size_t j = 0; j < context.size(); ++j) context[j] += share * v[j];
    }
    if (model.result.empty()) {
      result.insert(result.end(), context.begin(), context.end());
    } else {
      const Numbers part = model.result[head](context);
      result.resize(part.size());
      for (std::size_t j = 0; j < part.size(); ++j) result[j] += part[j];
    }
  }
  return result;
}
inline Numbers Attend(const Model& model, const Numbers& query, const std::vector<Numbers>& keys,
                      const std::vector<Numbers>& values, int begin, int end) {
  return Attend(model, query, keys, values, begin, end, [](int, int) { return Wide{1}; });
}

}  // namespace attention_reference
