// Graphs of cuDNN's as cudnn-frontend composes them: attention of many operations and of one, forward and back, and
// pooling; plans that become text and plans again, and graphs for a device instead of a handle. Against plain loops.
#include <list>

#include "cudnn_backend.h"

// Operations and tensors of one graph, which it keeps.
class Graph {
 public:
  using Kind = GraphTensor::Kind;
  GraphTensor& Virtual(const Ints& dims, cudnnDataType_t type = CUDNN_DATA_FLOAT, const Ints& strides = {}) {
    return tensors_.emplace_back(next_uid_++, dims, strides.empty() ? PackedStrides(dims) : strides, type,
                                 Kind::kVirtual);
  }
  GraphTensor& Make(const Ints& dims, cudnnDataType_t type = CUDNN_DATA_FLOAT, const Ints& strides = {}) {
    GraphTensor& tensor =
        tensors_.emplace_back(next_uid_++, dims, strides.empty() ? PackedStrides(dims) : strides, type, Kind::kMemory);
    bound_.push_back(&tensor);
    return tensor;
  }
  GraphTensor& Value(double value) {
    GraphTensor& tensor = tensors_.emplace_back(next_uid_++, Ints{1, 1, 1, 1}, CUDNN_DATA_FLOAT, Kind::kValue);
    tensor.Fill(Numbers{value});
    bound_.push_back(&tensor);
    return tensor;
  }
  const GraphTensor& Pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* b,
                               const GraphTensor& y, const GraphTensor* t = nullptr, int64_t axis = -1) {
    operations_.push_back(pointwise_.emplace_back(mode, x, b, y, t, axis).operation());
    return y;
  }
  void Matmul(const GraphTensor& a, const GraphTensor& b, const GraphTensor& c) {
    Backend& matmul = backends_.emplace_back(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    matmul.Set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT).Finalize();
    Add(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_DESC, matmul)
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c.descriptor())
        .Finalize();
  }
  const GraphTensor& Reduce(cudnnReduceTensorOp_t how, const GraphTensor& x, const GraphTensor& y) {
    Backend& reduction = backends_.emplace_back(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    reduction.Set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, how)
        .Set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .Finalize();
    Add(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR)
        .Refer(CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction)
        .Refer(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y.descriptor())
        .Finalize();
    return y;
  }
  void Reshape(const GraphTensor& x, const GraphTensor& y) {
    Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR)
        .Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y.descriptor())
        .Finalize();
  }
  // Ones with the probability, zeros else.
  void Draw(double probability, const GraphTensor& y, int64_t seed) {
    Backend& random = backends_.emplace_back(CUDNN_BACKEND_RNG_DESCRIPTOR);
    random.Set(CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, CUDNN_RNG_DISTRIBUTION_BERNOULLI)
        .Set(CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, probability)
        .Finalize();
    GraphTensor &seeds = Make({1, 1, 1, 1}, CUDNN_DATA_INT64), &offset = Make({1, 1, 1, 1}, CUDNN_DATA_INT64);
    seeds.Fill(Numbers{static_cast<double>(seed)});
    offset.Fill(Numbers{8});
    Add(CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR)
        .Refer(CUDNN_ATTR_OPERATION_RNG_DESC, random)
        .Refer(CUDNN_ATTR_OPERATION_RNG_YDESC, y.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_RNG_SEED, seeds.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, offset.descriptor())
        .Finalize();
  }
  // To be finalised by the caller.
  Backend& Add(cudnnBackendDescriptorType_t type) {
    Backend& operation = backends_.emplace_back(type);
    operations_.push_back(&operation);
    return operation;
  }
  void Run(cudnnHandle_t handle) const { ::Run(handle, operations_, bound_); }
  const std::vector<const Backend*>& operations() const { return operations_; }
  const std::vector<const GraphTensor*>& bound() const { return bound_; }

 private:
  std::list<GraphTensor> tensors_;
  std::list<Backend> backends_;
  std::list<::Pointwise> pointwise_;
  std::vector<const Backend*> operations_;
  std::vector<const GraphTensor*> bound_;
  int64_t next_uid_ = 1;
};

// Two batches, four heads of which two share keys, more keys than queries.
constexpr int kB = 2, kH = 4, kShared = 2, kQ = 6, kK = 6, kD = 8;
constexpr double kScale = 0.25, kKept = 0.75, kHalfNear = 1.0 / 100;
const Ints kQDims{kB, kH, kQ, kD}, kKDims{kB, kShared, kK, kD}, kScores{kB, kH, kQ, kK}, kColumn{kB, kH, kQ, 1};
// Keys and values turned, in the same memory.
const Ints kTurned{kB, kShared, kD, kK}, kTurnedStrides{kShared * kK * kD, kK* kD, 1, kD};

struct Attention {
  Numbers q, k, v, mask;
  Numbers o, stats, weights;  // behind Compute(); weights before a dropout
  bool is_causal = true;

  static size_t Own(int head) { return static_cast<size_t>(head / (kH / kShared)); }
  double Keeps(size_t at) const { return mask.empty() ? 1 : mask[at] / kKept; }
  void Compute() {
    o.assign(static_cast<size_t>(kB * kH * kQ * kD), 0);
    stats.clear();
    weights.assign(static_cast<size_t>(kB * kH * kQ * kK), 0);
    for (int n = 0; n < kB; ++n) {
      for (int h = 0; h < kH; ++h) {
        const size_t keys = (static_cast<size_t>(n * kShared) + Own(h)) * kK * kD,
                     head = static_cast<size_t>(n * kH + h);
        for (int i = 0; i < kQ; ++i) {
          const size_t row = (head * kQ + static_cast<size_t>(i)) * kK,
                       from = (head * kQ + static_cast<size_t>(i)) * kD;
          double sum = 0;
          for (int j = 0; j < kK; ++j) {
            if (is_causal && j > i) continue;
            double score = 0;
            for (int d = 0; d < kD; ++d) score += q[from + d] * k[keys + static_cast<size_t>(j * kD + d)];
            sum += weights[row + j] = std::exp(kScale * score);
          }
          stats.push_back(std::log(sum));
          for (int j = 0; j < kK; ++j) {
            weights[row + j] /= sum;
            for (int d = 0; d < kD; ++d)
              o[from + d] += weights[row + j] * Keeps(row + j) * v[keys + static_cast<size_t>(j * kD + d)];
          }
        }
      }
    }
  }
  void Gradients(const Numbers& slope, Numbers* dq, Numbers* dk, Numbers* dv) const {
    dq->assign(q.size(), 0);
    dk->assign(k.size(), 0);
    dv->assign(v.size(), 0);
    for (int n = 0; n < kB; ++n) {
      for (int h = 0; h < kH; ++h) {
        const size_t keys = (static_cast<size_t>(n * kShared) + Own(h)) * kK * kD,
                     head = static_cast<size_t>(n * kH + h);
        for (int i = 0; i < kQ; ++i) {
          const size_t row = (head * kQ + static_cast<size_t>(i)) * kK,
                       from = (head * kQ + static_cast<size_t>(i)) * kD;
          double along = 0;
          for (int d = 0; d < kD; ++d) along += slope[from + d] * o[from + d];
          for (int j = 0; j < kK; ++j) {
            const size_t key = keys + static_cast<size_t>(j * kD);
            double through = 0;
            for (int d = 0; d < kD; ++d) {
              through += slope[from + d] * v[key + d] * Keeps(row + j);
              (*dv)[key + d] += weights[row + j] * Keeps(row + j) * slope[from + d];
            }
            const double change = weights[row + j] * (through - along) * kScale;
            for (int d = 0; d < kD; ++d) {
              (*dq)[from + d] += change * k[key + d];
              (*dk)[key + d] += change * q[from + d];
            }
          }
        }
      }
    }
  }
};

// Scaled, and masked so that no place sees a later one.
static const GraphTensor& Scores(Graph& graph, const GraphTensor& q, const GraphTensor& turned) {
  const GraphTensor& raw = graph.Virtual(kScores);
  graph.Matmul(q, turned, raw);
  const GraphTensor& scaled = graph.Pointwise(CUDNN_POINTWISE_MUL, raw, &graph.Value(kScale), graph.Virtual(kScores));
  const GraphTensor& row =
      graph.Pointwise(CUDNN_POINTWISE_GEN_INDEX, scaled, nullptr, graph.Virtual(kScores, CUDNN_DATA_INT32), nullptr, 2);
  const GraphTensor& column =
      graph.Pointwise(CUDNN_POINTWISE_GEN_INDEX, scaled, nullptr, graph.Virtual(kScores, CUDNN_DATA_INT32), nullptr, 3);
  const GraphTensor& sees =
      graph.Pointwise(CUDNN_POINTWISE_CMP_GE, row, &column, graph.Virtual(kScores, CUDNN_DATA_BOOLEAN));
  return graph.Pointwise(CUDNN_POINTWISE_BINARY_SELECT, scaled, &graph.Value(-1e30), graph.Virtual(kScores), &sees);
}

static void TestForward(cudnnHandle_t handle, Random& random, Attention* attention) {
  Graph graph;
  GraphTensor &q = graph.Make(kQDims, CUDNN_DATA_HALF), &k = graph.Make(kTurned, CUDNN_DATA_HALF, kTurnedStrides),
              &v = graph.Make(kKDims, CUDNN_DATA_HALF), &o = graph.Make(kQDims, CUDNN_DATA_HALF),
              &stats = graph.Make(kColumn), &drawn = graph.Make(kScores);
  q.Fill(random);
  k.Fill(random);
  v.Fill(random);
  const GraphTensor& scores = Scores(graph, q, k);
  const GraphTensor& top = graph.Reduce(CUDNN_REDUCE_TENSOR_MAX, scores, graph.Virtual(kColumn));
  const GraphTensor& less = graph.Pointwise(CUDNN_POINTWISE_SUB, scores, &top, graph.Virtual(kScores));
  const GraphTensor& power = graph.Pointwise(CUDNN_POINTWISE_EXP, less, nullptr, graph.Virtual(kScores));
  const GraphTensor& sum = graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, power, graph.Virtual(kColumn));
  const GraphTensor& log = graph.Pointwise(CUDNN_POINTWISE_LOG, sum, nullptr, graph.Virtual(kColumn));
  graph.Pointwise(CUDNN_POINTWISE_ADD, top, &log, stats);
  const GraphTensor& weights = graph.Pointwise(CUDNN_POINTWISE_DIV, power, &sum, graph.Virtual(kScores));
  const GraphTensor& mask = graph.Virtual(kScores);
  graph.Draw(kKept, mask, 123);
  graph.Pointwise(CUDNN_POINTWISE_IDENTITY, mask, nullptr, drawn);
  const GraphTensor& dropped = graph.Pointwise(CUDNN_POINTWISE_MUL, weights, &mask, graph.Virtual(kScores));
  const GraphTensor& kept =
      graph.Pointwise(CUDNN_POINTWISE_MUL, dropped, &graph.Value(1 / kKept), graph.Virtual(kScores));
  graph.Matmul(kept, v, o);
  graph.Run(handle);
  *attention = {q.host(), k.host(), v.host(), drawn.Download(), {}, {}, {}};
  double ones = 0;
  for (const double one : attention->mask) {
    EXPECT(one == 0 || one == 1, "a mask of %.9g", one);
    ones += one;
  }
  EXPECT(ones > 0.5 * kB * kH * kQ * kK && ones < kB * kH * kQ * kK, "a mask with %.0f ones", ones);
  attention->Compute();
  o.Expect(attention->o, "attention", kHalfNear);
  stats.Expect(attention->stats, "statistics", 1e-3);
}

static void TestBackward(cudnnHandle_t handle, Random& random, const Attention& attention) {
  Graph graph;
  GraphTensor &q = graph.Make(kQDims, CUDNN_DATA_HALF),
              &k_turned = graph.Make(kTurned, CUDNN_DATA_HALF, kTurnedStrides),
              &k = graph.Make(kKDims, CUDNN_DATA_HALF),
              &v_turned = graph.Make(kTurned, CUDNN_DATA_HALF, kTurnedStrides), &o = graph.Make(kQDims),
              &slope = graph.Make(kQDims, CUDNN_DATA_HALF), &stats = graph.Make(kColumn),
              &dq = graph.Make(kQDims, CUDNN_DATA_HALF), &dk = graph.Make(kKDims, CUDNN_DATA_HALF),
              &dv = graph.Make(kKDims, CUDNN_DATA_HALF);
  q.Fill(attention.q);
  k.Fill(attention.k);
  k_turned.Fill(attention.k);
  v_turned.Fill(attention.v);
  o.Fill(attention.o);
  stats.Fill(attention.stats);
  slope.Fill(random);
  const auto multiply = [&graph](const GraphTensor& x, const GraphTensor& y, const Ints& dims) -> const GraphTensor& {
    return graph.Pointwise(CUDNN_POINTWISE_MUL, x, &y, graph.Virtual(dims));
  };
  // Turned by its description, and shared by heads: of every head, and added up.
  const Ints turned{kB, kH, kK, kQ}, strides{kH * kQ * kK, kQ * kK, 1, kK}, every{kB, kH, kK, kD};
  const auto accumulate = [&](const GraphTensor& x, const GraphTensor& other, const GraphTensor& to) {
    const GraphTensor &x_turned = graph.Virtual(turned, CUDNN_DATA_FLOAT, strides), &heads = graph.Virtual(every);
    graph.Reshape(x, x_turned);
    graph.Matmul(x_turned, other, heads);
    graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, heads, to);
  };
  const GraphTensor& along = graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, multiply(slope, o, kQDims), graph.Virtual(kColumn));
  const GraphTensor& moved = multiply(along, graph.Value(kKept), kColumn);
  const GraphTensor& less =
      graph.Pointwise(CUDNN_POINTWISE_SUB, Scores(graph, q, k_turned), &stats, graph.Virtual(kScores));
  const GraphTensor& weights = graph.Pointwise(CUDNN_POINTWISE_EXP, less, nullptr, graph.Virtual(kScores));
  const GraphTensor& mask = graph.Virtual(kScores);
  graph.Draw(kKept, mask, 123);  // as forward
  accumulate(multiply(multiply(weights, mask, kScores), graph.Value(1 / kKept), kScores), slope, dv);
  const GraphTensor& through = graph.Virtual(kScores);
  graph.Matmul(slope, v_turned, through);
  const GraphTensor& centred =
      graph.Pointwise(CUDNN_POINTWISE_SUB, multiply(through, mask, kScores), &moved, graph.Virtual(kScores));
  const GraphTensor& change = multiply(multiply(centred, weights, kScores), graph.Value(kScale / kKept), kScores);
  graph.Matmul(change, k, dq);
  accumulate(change, q, dk);
  graph.Run(handle);
  Numbers wanted_q, wanted_k, wanted_v;
  attention.Gradients(slope.host(), &wanted_q, &wanted_k, &wanted_v);
  dq.Expect(wanted_q, "dq", kHalfNear);
  dk.Expect(wanted_k, "dk", kHalfNear);
  dv.Expect(wanted_v, "dv", kHalfNear);
}

// The same by the descriptors of attention itself, which have no mask; its plan as text, and by a device instead of a
// handle.
static void TestOneOperation(cudnnHandle_t handle, Random& random) {
  Graph forward, backward;
  GraphTensor &q = forward.Make(kQDims, CUDNN_DATA_HALF), &k = forward.Make(kKDims, CUDNN_DATA_HALF),
              &v = forward.Make(kKDims, CUDNN_DATA_HALF), &o = forward.Make(kQDims, CUDNN_DATA_HALF),
              &stats = forward.Make(kColumn);
  q.Fill(random);
  k.Fill(random);
  v.Fill(random);
  forward.Add(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR)
      .Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, stats.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, forward.Value(kScale).descriptor())
      .Finalize();
  Attention attention{q.host(), k.host(), v.host(), {}, {}, {}, {}, false};
  attention.Compute();
  const auto expect = [&](const char* what) {
    o.Expect(attention.o, what, kHalfNear);
    stats.Expect(attention.stats, what, 1e-3);
    o.Fill(Numbers(o.size(), 9));
    stats.Fill(Numbers(stats.size(), 9));
  };
  const std::unique_ptr<Backend> plan = MakePlan(handle, forward.operations());
  Execute(handle, *plan, forward.bound());
  expect("one operation");
  int64_t length = 0;
  CHECK_DNN(cudnnBackendGetAttribute(plan->get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0,
                                     &length, nullptr));
  EXPECT(length > 0, "a plan without text");
  std::string text(static_cast<size_t>(length), '\0');
  CHECK_DNN(cudnnBackendGetAttribute(plan->get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                     length, &length, text.data()));
  const auto read = [&](const std::string& from, Backend& to) {
    CHECK_DNN(cudnnBackendSetAttribute(to.get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                       static_cast<int64_t>(from.size()), from.data()));
    to.Set(kPlanHandle, CUDNN_TYPE_HANDLE, handle);
  };
  Backend again(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  read(text, again);
  again.Finalize();
  Execute(handle, again, forward.bound());
  expect("a plan that was text");
  for (const std::string& wrong : {std::string("nonsense"), std::string("{}"), text.substr(0, text.size() / 2)}) {
    Backend none(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    read(wrong, none);
    CHECK_DNN_STATUS(cudnnBackendFinalize(none.get()), CUDNN_STATUS_BAD_PARAM);
  }
  int device_number = 0;
  CHECK(cudaGetDevice(&device_number));
  Backend device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  device.Set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, device_number).Finalize();
  Execute(handle, *MakePlan(nullptr, forward.operations(), &device), forward.bound());
  expect("a plan for a device");

  GraphTensor &q2 = backward.Make(kQDims, CUDNN_DATA_HALF), &k2 = backward.Make(kKDims, CUDNN_DATA_HALF),
              &v2 = backward.Make(kKDims, CUDNN_DATA_HALF), &o2 = backward.Make(kQDims),
              &slope = backward.Make(kQDims, CUDNN_DATA_HALF), &stats2 = backward.Make(kColumn),
              &dq = backward.Make(kQDims, CUDNN_DATA_HALF), &dk = backward.Make(kKDims, CUDNN_DATA_HALF),
              &dv = backward.Make(kKDims, CUDNN_DATA_HALF);
  q2.Fill(attention.q);
  k2.Fill(attention.k);
  v2.Fill(attention.v);
  o2.Fill(attention.o);
  stats2.Fill(attention.stats);
  slope.Fill(random);
  backward.Add(CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR)
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, q2.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, k2.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, v2.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, o2.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, slope.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, stats2.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC, backward.Value(kScale).descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, dq.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, dk.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, dv.descriptor())
      .Finalize();
  backward.Run(handle);
  Numbers wanted_q, wanted_k, wanted_v;
  attention.Gradients(slope.host(), &wanted_q, &wanted_k, &wanted_v);
  dq.Expect(wanted_q, "dq of one operation", kHalfNear);
  dk.Expect(wanted_k, "dk of one operation", kHalfNear);
  dv.Expect(wanted_v, "dv of one operation", kHalfNear);
}

// The largest of windows of 2 by 2, its index, and the gradient that goes where it was.
static void TestPooling(cudnnHandle_t handle, Random& random) {
  constexpr int kImages = 2, kChannels = 3, kSize = 6, kHalf = kSize / 2;
  Graph graph;
  GraphTensor &x = graph.Make({kImages, kChannels, kSize, kSize}), &y = graph.Make({kImages, kChannels, kHalf, kHalf}),
              &index = graph.Make({kImages, kChannels, kHalf, kHalf}, CUDNN_DATA_INT8),
              &slope = graph.Make({kImages, kChannels, kHalf, kHalf}),
              &dx = graph.Make({kImages, kChannels, kSize, kSize});
  x.Fill(random);
  slope.Fill(random);
  Backend resample(CUDNN_BACKEND_RESAMPLE_DESCRIPTOR);
  resample.Set(CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, CUDNN_RESAMPLE_MAXPOOL)
      .Set(CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .Set(CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, CUDNN_NEG_INF_PAD)
      .Set(CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2})
      .SetInts(CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, {2, 2})
      .SetInts(CUDNN_ATTR_RESAMPLE_STRIDES, {2, 2})
      .SetInts(CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, {0, 0})
      .SetInts(CUDNN_ATTR_RESAMPLE_POST_PADDINGS, {0, 0})
      .Finalize();
  graph.Add(CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR)
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, resample)
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, x.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, y.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC, index.descriptor())
      .Finalize();
  graph.Add(CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR)
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, resample)
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC, slope.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, dx.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC, index.descriptor())
      .Finalize();
  graph.Run(handle);
  Numbers largest, gradient(x.size(), 0);
  for (size_t image = 0; image < kImages * kChannels; ++image) {
    for (size_t i = 0; i < kHalf; ++i) {
      for (size_t j = 0; j < kHalf; ++j) {
        size_t best = (image * kSize + 2 * i) * kSize + 2 * j;
        for (size_t step = 1; step < 4; ++step) {
          const size_t at = (image * kSize + 2 * i + step / 2) * kSize + 2 * j + step % 2;
          if (x[at] > x[best]) best = at;
        }
        gradient[best] += slope[largest.size()];
        largest.push_back(x[best]);
      }
    }
  }
  y.Expect(largest, "pooling");
  dx.Expect(gradient, "pooling's gradient");
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  Random random(13);
  Attention attention;
  TestForward(handle, random, &attention);
  TestBackward(handle, random, attention);
  TestOneOperation(handle, random);
  TestPooling(handle, random);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
