// Padding and folding against where each element goes, one by one; the matrix of a convolution by what it multiplies.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

using Dims = std::vector<int>;

std::size_t Number(const Dims& dims, const Dims& at) {
  std::size_t number = 0;
  for (std::size_t d = 0; d < dims.size(); ++d)
    number = number * static_cast<std::size_t>(dims[d]) + static_cast<std::size_t>(at[d]);
  return number;
}
bool IsInside(const Dims& dims, const Dims& at) {
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (at[d] < 0 || at[d] >= dims[d]) return false;
  }
  return true;
}
template <typename Visitor>
void ForEach(const Dims& dims, Visitor visit) {
  Dims at(dims.size());
  std::size_t d = 0;
  do {
    visit(at);
    for (d = dims.size(); d-- > 0;) {
      if (++at[d] < dims[d]) break;
      at[d] = 0;
    }
  } while (d < dims.size());
}

struct Problem {
  Dims in, padded, folded, before, after, folds;

  explicit Problem(Random& random) {
    const int rank = Pick(random, 3, 5);
    int remainders = 1;
    for (int d = 0; d < rank; ++d) {
      in.push_back(Pick(random, 1, 4));
      before.push_back(Pick(random, in.back() > 1 ? -1 : 0, 2));
      after.push_back(Pick(random, 0, 2));
      padded.push_back(in.back() + before.back() + after.back());
      folds.push_back(d < 2 ? 1 : Pick(random, 1, 3));
      remainders *= folds.back();
      folded.push_back((padded.back() + folds.back() - 1) / folds.back());
    }
    folded[1] *= remainders;
  }
  DnnTransform Words(int direction) const {
    DnnTransform words;
    words.rank = static_cast<std::int32_t>(in.size());
    words.direction = direction;
    for (std::size_t d = 0; d < in.size(); ++d) {
      words.before[d] = before[d];
      words.after[d] = after[d];
      if (d >= 2) words.folds[d - 2] = folds[d];
    }
    return words;
  }
  // Where an element of the padded tensor is in the folded one.
  Dims Fold(const Dims& at) const {
    Dims to = at;
    int remainder = 0;
    for (std::size_t d = 2; d < at.size(); ++d) {
      remainder = remainder * folds[d] + at[d] % folds[d];
      to[d] = at[d] / folds[d];
    }
    to[1] += remainder * padded[1];
    return to;
  }
};

TEST(CpuDnnTransform, FoldsAndUnfolds) {
  Random random(13);
  for (int round = 0; round < 120; ++round) {
    const int type = kTypes[static_cast<std::size_t>(round) % kTypes.size()];
    const Problem problem(random);
    Arena arena;
    const Tensor x(arena, type, problem.in, Pick(random, 0, 2), random);
    const Tensor y(arena, type, problem.folded, Pick(random, 0, 2), random);
    const DnnBlend blend = round % 2 == 0 ? DnnBlend{} : DnnBlend{2, -0.5};
    const Reals xs = x.Get(), before = y.Get();
    Reals wanted(y.count());
    ForEach(problem.in, [&](const Dims& at) {
      Dims in_padded = at;
      for (std::size_t d = 0; d < at.size(); ++d) in_padded[d] += problem.before[d];
      if (IsInside(problem.padded, in_padded))
        wanted[Number(problem.folded, problem.Fold(in_padded))] = xs[Number(problem.in, at)];
    });
    MustRun(arena, DnnTransformEx{x.operand(), y.operand(), problem.Words(0), blend});
    y.Expect(Blended(wanted, before, blend), Tolerance(type), "folded");

    // Back, with pads that take off what was put on, and what was not there.
    Problem back = problem;
    for (std::size_t d = 0; d < problem.in.size(); ++d) {
      back.before[d] = -problem.before[d];
      back.after[d] = 0;  // not looked at: the result says how large it is
    }
    const Tensor again(arena, type, problem.in, Pick(random, 0, 2), random);
    const Reals ys = y.Get();
    Reals unfolded(again.count());
    ForEach(problem.in, [&](const Dims& at) {
      Dims in_padded = at;
      for (std::size_t d = 0; d < at.size(); ++d) in_padded[d] += problem.before[d];
      if (IsInside(problem.padded, in_padded))
        unfolded[Number(problem.in, at)] = ys[Number(problem.folded, problem.Fold(in_padded))];
    });
    MustRun(arena, DnnTransformFilter{y.operand(), again.operand(), back.Words(1), {}});
    again.Expect(unfolded, Tolerance(type), "unfolded");
  }
}

TEST(CpuDnnTransform, Im2Col) {
  Random random(14);
  for (int round = 0; round < 40; ++round) {
    const int type = kTypes[static_cast<std::size_t>(round) % kTypes.size()];
    const int n = Pick(random, 1, 2), c = Pick(random, 1, 3), h = Pick(random, 3, 6), w = Pick(random, 3, 6);
    const int kh = Pick(random, 1, 3), kw = Pick(random, 1, 2), ph = Pick(random, 0, 2), pw = Pick(random, 0, 1);
    const int sh = Pick(random, 1, 2), sw = Pick(random, 1, 3), dh = kh == 3 ? 1 : Pick(random, 1, 2), dw = 1;
    const int oh = (h + 2 * ph - (kh - 1) * dh - 1) / sh + 1, ow = (w + 2 * pw - (kw - 1) * dw - 1) / sw + 1;
    Arena arena;
    const Tensor x(arena, type, {n, c, h, w}, Pick(random, 0, 2), random);
    const Tensor matrix(arena, type, {n * oh * ow, c * kh * kw}, 0, random);
    const Tensor filter(arena, type, {5, c, kh, kw});
    const Reals xs = x.Get();
    Reals wanted;
    ForEach({n, oh, ow, c, kh, kw}, [&](const Dims& at) {
      const Dims from{at[0], at[3], at[1] * sh - ph + at[4] * dh, at[2] * sw - pw + at[5] * dw};
      wanted.push_back(IsInside({n, c, h, w}, from) ? xs[Number({n, c, h, w}, from)] : 0);
    });
    const DnnConvolution convolution{2, 1, 0, 0, 1, 0, {ph, pw}, {sh, sw}, {dh, dw}};
    MustRun(arena, DnnIm2Col{x.operand(), filter.tensor(), convolution, matrix.address()});
    matrix.Expect(wanted, Tolerance(type), "matrix of a convolution");
  }
}

TEST(CpuDnnTransform, SpoiledCallsHurtNobody) {
  Random random(15);
  Arena arena;
  const Tensor x(arena, kFloat, {2, 3, 4, 4}, 0, random), y(arena, kFloat, {2, 12, 2, 2}, 1, random);
  DnnTransform transform;
  transform.rank = 4;
  transform.folds = {2, 2};
  Spoil(arena, DnnTransformEx{x.operand(), y.operand(), transform, {2, 1}});
  Spoil(arena, DnnTransformFilter{x.operand(), y.operand(), transform, {}});
  transform.direction = 1;
  Spoil(arena, DnnTransformEx{y.operand(), x.operand(), transform, {}});
  const DnnConvolution convolution{2, 1, 0, 0, 1, 0, {1, 1}, {1, 1}, {1, 1}};
  const Tensor filter(arena, kFloat, {2, 3, 3, 3}), matrix(arena, kFloat, {32, 27});
  Spoil(arena, DnnIm2Col{x.operand(), filter.tensor(), convolution, matrix.address()});
}

}  // namespace
}  // namespace accelmesh
