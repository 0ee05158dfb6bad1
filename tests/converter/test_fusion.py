"""Fusion: each rewrite finds its pattern however it is written, and the outputs stay."""

# ruff: noqa: E501  (a model reads best as one line)

import numpy as np
import onnx_ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter import optimize
from converter.fusion.fuse import ATTENTION, RULES, SPLIT, fuse
from converter.model import to_bytes
from edge_runtime import Session
from tests.models import HEADER, build

NEW = HEADER.replace(": 21", ": 23")


def ops(model):
    return [node.op_type for node in model.graph.node]


def same(before, after, feeds, tolerance=1e-5):
    old, new = (list(Session(to_bytes(m)).run(feeds).values()) for m in (before, after))
    for a, b in zip(old, new, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(a).max()))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def fused(model, rules):
    """The model after these rules alone."""
    graph = onnx_ir.serde.deserialize_model(model)
    found = fuse(graph, rules)
    return onnx_ir.serde.serialize_model(graph), found


# ------------------------------------------------------------------------------------------ activations

NUMBERS = "float half = {0.5}, float one = {1.0}, float two = {2.0}, float three = {3.0}, float six = {6.0}, float zero = {0.0}, "
NUMBERS += (
    "float root = {1.4142135}, float inverse = {0.70710677}, float cube = {0.044715}, float pi = {0.7978846}"
)
FORMS = {
    "Gelu": [
        "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half)",
        "a = Mul(x, inverse) b = Erf(a) c = Add(one, b) d = Mul(half, c) y = Mul(d, x)",
        "h = Mul(x, half) a = Div(x, root) b = Erf(a) c = Add(b, one) y = Mul(h, c)",
        "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(c, x) y = Div(d, two)",
        "a = Pow(x, three) b = Mul(a, cube) c = Add(x, b) d = Mul(c, pi) e = Tanh(d) f = Add(e, one) g = Mul(x, f) y = Mul(g, half)",
        "s = Mul(x, x) a = Mul(s, x) b = Mul(cube, a) c = Add(b, x) d = Mul(pi, c) e = Tanh(d) f = Add(one, e) g = Mul(half, f) y = Mul(g, x)",
    ],
    "HardSwish": [
        "a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)",
        "a = Add(three, x) b = Clip(a, zero, six) c = Div(b, six) y = Mul(c, x)",
        "a = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(a, x)",
        "a = Add(x, three) r = Relu(a) b = Min(r, six) c = Div(x, six) y = Mul(b, c)",
    ],
    "Mish": [
        "a = Softplus(x) b = Tanh(a) y = Mul(x, b)",
        "a = Exp(x) b = Add(a, one) c = Log(b) d = Tanh(c) y = Mul(d, x)",
    ],
    "Sigmoid": [
        "a = Neg(x) b = Exp(a) c = Add(b, one) y = Reciprocal(c)",
        "a = Neg(x) b = Exp(a) c = Add(one, b) y = Div(one, c)",
    ],
}


@pytest.mark.parametrize(("operator", "form"), [(op, form) for op, forms in FORMS.items() for form in forms])
def test_an_activation_is_known_by_what_it_calculates(operator, form):
    model = build(HEADER + f" m (float[n, 7] x) => (y) <{NUMBERS}> {{ {form} }}")
    result = optimize(model)
    assert ops(result) == [operator]
    same(model, result, {"x": draw(50, 7) * 4})


def test_swish_stays_two_operators_and_a_near_miss_stays_as_it_is():
    swish = build(HEADER + " m (float[n, 7] x) => (y) { a = Sigmoid(x) y = Mul(x, a) }")
    assert ops(optimize(swish)) == ["Sigmoid", "Mul"]
    near = build(
        HEADER
        + f" m (float[n, 7] x) => (y) <{NUMBERS}> {{ a = Div(x, two) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half) }}"
    )
    assert "Gelu" not in ops(optimize(near))


def test_an_epsilon_before_a_logarithm_is_not_nothing():
    model = build(
        HEADER + " m (float[n, 7] x) => (y) <float tiny = {1e-12}> { a = Abs(x) b = Add(a, tiny) y = Log(b) }"
    )
    assert "Add" in ops(optimize(model))


def test_what_others_read_is_not_taken_into_an_activation():
    model = build(
        HEADER
        + f" m (float[n, 7] x) => (y, b) <{NUMBERS}> {{ a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half) }}"
    )
    result = optimize(model)
    assert "Erf" in ops(result)
    same(model, result, {"x": draw(4, 7)})


# ------------------------------------------------------------------------------------------ normalisation

LAYER = {
    "by division": "m = ReduceMean<keepdims = 1>(x, last) d = Sub(x, m) q = Pow(d, two) v = ReduceMean<keepdims = 1>(q, last) e = Add(v, eps) s = Sqrt(e) z = Div(d, s)",
    "by product": "m = ReduceMean<keepdims = 1>(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean<keepdims = 1>(q, last) e = Add(eps, v) s = Sqrt(e) r = Reciprocal(s) z = Mul(r, d)",
    "by moments": "m = ReduceMean<keepdims = 1>(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean<keepdims = 1>(q, last) e = Add(v, eps) r = Pow(e, minus) z = Mul(d, r)",
}
ROW = "int64[1] last = {-1}, float two = {2.0}, float eps = {0.00001}, float minus = {-0.5}, float[8] gain, float[8] offset"


@pytest.mark.parametrize("form", LAYER.values(), ids=LAYER)
def test_layer_normalisation_is_found(form):
    model = build(
        HEADER + f" m (float[n, 5, 8] x) => (y) <{ROW}> {{ {form} g = Mul(z, gain) y = Add(g, offset) }}"
    )
    result = optimize(model)
    assert ops(result) == ["LayerNormalization"]
    same(model, result, {"x": draw(3, 5, 8)})


def test_rms_normalisation_is_found_where_the_opset_has_it():
    form = "q = Mul(x, x) v = ReduceMean<keepdims = 1>(q, last) e = Add(v, eps) s = Sqrt(e) z = Div(x, s) y = Mul(z, gain)"
    new, old = (build(head + f" m (float[n, 8] x) => (y) <{ROW}> {{ {form} }}") for head in (NEW, HEADER))
    assert ops(optimize(new)) == ["RMSNormalization"]
    assert "RMSNormalization" not in ops(optimize(old))
    assert ops(optimize(old, attention=True)) == ["RMSNormalization"]
    same(new, optimize(new), {"x": draw(3, 8)})


def test_a_mean_over_another_axis_is_no_layer_normalisation():
    form = LAYER["by division"]
    model = build(HEADER + f" m (float[n, 8, 8] x) => (z) <{ROW.replace('{-1}', '{1}')}> {{ {form} }}")
    assert "LayerNormalization" not in ops(optimize(model))


# ------------------------------------------------------------------------------------------ weights

LAYERS = {
    "Conv<pads = [1, 1, 1, 1]>({x}, w, b)": ("6, 4, 3, 3", 6),
    "Conv<group = 2>({x}, w, b)": ("6, 2, 3, 3", 6),
    "Conv({x}, w)": ("6, 4, 1, 1", 6),
    "ConvTranspose({x}, w, b)": ("4, 6, 2, 2", 6),
}


@settings(max_examples=25)
@given(
    layer=st.sampled_from(sorted(LAYERS)),
    before=st.lists(st.sampled_from(["Mul", "Add", "Sub", "Div", "scalar"]), max_size=2),
    behind=st.lists(st.sampled_from(["Mul", "Add", "Sub", "Div", "scalar", "BN"]), max_size=3),
    seed=st.integers(0, 5),
)
def test_constants_around_a_layer_go_into_its_weights(layer, before, behind, seed):
    shape, outputs = LAYERS[layer]
    lines, weights, value = [], [f"float[{shape}] w", f"float[{outputs}] b"], "x"
    for k, (kind, channels) in enumerate(
        [(kind, 4) for kind in before] + [("layer", 0)] + [(kind, outputs) for kind in behind]
    ):
        if kind == "layer":
            lines.append(f"v{k} = {layer.format(x=value)}")
        elif kind == "BN":
            weights += [f"float[{channels}] {name}" for name in (f"gamma{k}", f"beta{k}", f"mean{k}", "var")]
            lines.append(f"v{k} = BatchNormalization({value}, gamma{k}, beta{k}, mean{k}, var)")
        elif kind == "scalar":
            lines.append(f"v{k} = Mul(c{k}, {value})")
            weights.append(f"float c{k} = {{1.7}}")
        else:
            lines.append(f"v{k} = {kind}({value}, c{k})")
            weights.append(f"float[{channels}, 1, 1] c{k}")
        value = f"v{k}"
    text = ", ".join(dict.fromkeys(weights))
    model = build(HEADER + f" m (float[n, 4, 6, 6] x) => ({value}) <{text}> {{ {' '.join(lines)} }}", seed)
    result = optimize(model)
    padded = "pads" in layer or "Transpose" in layer
    assert len(ops(result)) == 1 or (padded and set(before) & {"Add", "Sub"})
    same(model, result, {"x": draw(2, 4, 6, 6, seed=seed)})


@pytest.mark.parametrize("rank", [2, 3])
def test_a_bias_makes_a_gemm_of_a_matrix_product(rank):
    shape = "n, 4" if rank == 2 else "n, 5, 4"
    model = build(
        HEADER
        + f" m (float[{shape}] x) => (y) <float[4, 6] w, float[6] b> {{ p = MatMul(x, w) y = Add(b, p) }}"
    )
    result = optimize(model)
    assert ops(result) == (["Gemm"] if rank == 2 else ["MatMul", "Add"])
    same(model, result, {"x": draw(*(3, 5, 4)[: rank - 1], 4)})


@pytest.mark.parametrize(
    ("first", "second", "shapes", "merged"),
    [
        ("Conv(x, w, b)", "Conv(a, v, c)", ("8, 4, 1, 1", "3, 8, 1, 1"), True),
        ("Conv(x, w, b)", "Conv(a, v, c)", ("8, 4, 3, 3", "3, 8, 1, 1"), True),
        ("Conv(x, w, b)", "Conv(a, v, c)", ("8, 4, 1, 1", "3, 8, 3, 3"), True),
        ("Conv(x, w, b)", "Conv<strides = [2, 2]>(a, v, c)", ("8, 4, 1, 1", "3, 8, 3, 3"), True),
        ("Conv(x, w, b)", "Conv<pads = [1, 1, 1, 1]>(a, v, c)", ("8, 4, 1, 1", "3, 8, 3, 3"), False),
        ("Conv(x, w)", "Conv<pads = [1, 1, 1, 1]>(a, v, c)", ("8, 4, 1, 1", "3, 8, 3, 3"), True),
        ("Conv(x, w, b)", "Conv(a, v, c)", ("2, 4, 1, 1", "9, 2, 1, 1"), False),  # less work as it is
        ("Conv<strides = [2, 2]>(x, w, b)", "Conv(a, v, c)", ("8, 4, 1, 1", "3, 8, 3, 3"), False),
    ],
)
def test_two_convolutions_become_one_where_that_is_less(first, second, shapes, merged):
    sizes = [shape.split(",")[0] for shape in shapes]
    weights = f"float[{shapes[0]}] w, float[{sizes[0]}] b, float[{shapes[1]}] v, float[{sizes[1]}] c"
    model = build(HEADER + f" m (float[n, 4, 8, 8] x) => (y) <{weights}> {{ a = {first} y = {second} }}")
    result = optimize(model)
    assert len(ops(result)) == (1 if merged else 2)
    same(model, result, {"x": draw(2, 4, 8, 8)})


def test_two_dense_layers_become_one():
    model = build(
        HEADER
        + " m (float[n, 4] x) => (y) <float[4, 9] w, float[9] b, float[3, 9] v> { a = Gemm(x, w, b) y = Gemm<transB = 1>(a, v) }"
    )
    result = optimize(model)
    assert ops(result) == ["Gemm"]
    same(model, result, {"x": draw(5, 4)})


def test_padding_goes_into_the_convolution():
    model = build(
        HEADER
        + " m (float[n, 4, 8, 8] x) => (y) <float[3, 4, 3, 3] w, int64[8] p = {0, 0, 1, 2, 0, 0, 2, 1}> { a = Pad(x, p) y = Conv(a, w) }"
    )
    result = optimize(model)
    assert ops(result) == ["Conv"]
    same(model, result, {"x": draw(2, 4, 8, 8)})


# ------------------------------------------------------------------------------------------ branches

INCEPTION = "a = Conv(x, wa, ba) p = Relu(a) b = Conv(x, wb) q = Relu(b) c = Conv(x, wc, bc) r = Relu(c) "
WEIGHTS = "float[5, 4, 1, 1] wa, float[5] ba, float[3, 4, 1, 1] wb, float[2, 4, 1, 1] wc, float[2] bc, float[7, 3, 3, 3] k"


def test_branches_that_meet_again_become_one_layer():
    model = build(
        HEADER
        + f" m (float[n, 4, 6, 6] x) => (y) <{WEIGHTS}> {{ {INCEPTION} y = Concat<axis = 1>(p, q, r) }}"
    )
    result = optimize(model)
    assert ops(result) == ["Conv", "Relu"]
    same(model, result, {"x": draw(2, 4, 6, 6)})


def test_branches_that_go_on_apart_are_split_on_demand():
    text = f" m (float[n, 4, 6, 6] x) => (y) <{WEIGHTS}> {{ {INCEPTION} d = Conv<pads = [1, 1, 1, 1]>(q, k) y = Concat<axis = 1>(p, d, r) }}"
    model = build(HEADER + text)
    assert ops(optimize(model)).count("Conv") == 4
    result = optimize(model, split=True)
    assert ops(result).count("Conv") == 2
    assert ops(result).count("Relu") == 1
    same(model, result, {"x": draw(2, 4, 6, 6)})


def test_convolutions_of_other_shape_stay_apart():
    text = " m (float[n, 4, 6, 6] x) => (y) <float[5, 4, 1, 1] w, float[3, 4, 3, 3] v> { a = Conv(x, w) b = Conv<pads = [1, 1, 1, 1]>(x, v) y = Concat<axis = 1>(a, b) }"
    assert ops(optimize(build(HEADER + text), split=True)) == ["Conv", "Conv", "Concat"]


PROJECTIONS = "q0 = MatMul(x, wq) q = Add(q0, bq) k0 = MatMul(x, wk) k = Add(bk, k0) v0 = MatMul(x, wv) v = Add(v0, bv) "
QKV = ", ".join(f"float[12, 12] w{n}, float[12] b{n}" for n in "qkv")


def test_projections_to_query_key_and_value_become_one():
    model = build(HEADER + f" m (float[n, 5, 12] x) => (q, k, v) <{QKV}> {{ {PROJECTIONS} }}")
    result = optimize(model, split=True)
    assert ops(result) == ["MatMul", "Add", "Split"]
    same(model, result, {"x": draw(2, 5, 12)})


# ------------------------------------------------------------------------------------------ attention


@pytest.mark.parametrize("mask", ["", "t = Add(s, mask) "])
@pytest.mark.parametrize("scaled", ["scores", "query", "none"])
def test_attention_becomes_an_operator_without_transposes(mask, scaled):
    body = (
        PROJECTIONS
        + "q1 = Reshape(q, heads) q2 = Transpose<perm = [0, 2, 1, 3]>(q1) k1 = Reshape(k, heads) k2 = Transpose<perm = [0, 2, 3, 1]>(k1) "
    )
    body += "v1 = Reshape(v, heads) v2 = Transpose<perm = [0, 2, 1, 3]>(v1) "
    body += "q3 = Mul(q2, scale) " if scaled == "query" else ""
    body += f"s{'' if scaled != 'scores' else '0'} = MatMul({'q3' if scaled == 'query' else 'q2'}, k2) "
    body += "s = Div(s0, root) " if scaled == "scores" else ""
    body += (
        mask
        + f"p = Softmax<axis = -1>({'t' if mask else 's'}) o = MatMul(p, v2) o1 = Transpose<perm = [0, 2, 1, 3]>(o) y = Reshape(o1, joined)"
    )
    extra = ", int64[4] heads = {0, 0, 3, 4}, int64[3] joined = {0, 0, 12}, float root = {2.0}, float scale = {0.5}, float[5, 5] mask"
    model = build(HEADER + f" m (float[n, 5, 12] x) => (y) <{QKV}{extra}> {{ {body} }}")
    assert "Attention" not in ops(optimize(model))
    result = optimize(model, attention=True)
    assert sorted(set(ops(result))) == ["Add", "Attention", "MatMul"]
    same(model, result, {"x": draw(2, 5, 12)})


# ------------------------------------------------------------------------------------------ transposes


@settings(max_examples=25)
@given(
    perms=st.tuples(st.permutations(range(4)), st.permutations(range(4))),
    chain=st.lists(st.sampled_from(["Relu", "scalar", "vector", "full", "Tanh"]), max_size=4),
)
def test_transposes_meet_through_elementwise_operators(perms, chain):
    sizes = [2, 3, 4, 5]
    inside = [sizes[k] for k in perms[0]]
    weights, lines, value = ["float c = {0.5}"], [f"t = Transpose<perm = {list(perms[0])}>(x)"], "t"
    for k, kind in enumerate(chain):
        if kind in ("vector", "full"):
            weights.append(f"float[{inside[-1] if kind == 'vector' else ', '.join(map(str, inside))}] w{k}")
        other = {"scalar": "c", "vector": f"w{k}", "full": f"w{k}"}.get(kind)
        lines.append(f"v{k} = " + (f"{kind}({value})" if other is None else f"Mul({other}, {value})"))
        value = f"v{k}"
    lines.append(f"y = Transpose<perm = {list(perms[1])}>({value})")
    model = build(HEADER + f" m (float[2, 3, 4, 5] x) => (y) <{', '.join(weights)}> {{ {' '.join(lines)} }}")
    result = optimize(model)
    assert ops(result).count("Transpose") <= 1
    joined = [perms[0][k] for k in perms[1]]
    if joined == sorted(joined) and chain:
        assert "Transpose" not in ops(result)
    same(model, result, {"x": draw(2, 3, 4, 5)})


def test_transposes_alike_move_behind_a_sum():
    model = build(
        HEADER
        + " m (float[n, 3, 4, 5] x, float[n, 3, 4, 5] z) => (y) { a = Transpose<perm = [0, 2, 3, 1]>(x) b = Transpose<perm = [0, 2, 3, 1]>(z) s = Add(a, b) r = Relu(s) y = Transpose<perm = [0, 3, 1, 2]>(r) }"
    )
    result = optimize(model)
    assert ops(result) == ["Add", "Relu"]
    same(model, result, {"x": draw(2, 3, 4, 5), "z": draw(2, 3, 4, 5, seed=1)})


# ------------------------------------------------------------------------------------------ the whole


def test_every_rule_says_how_often_it_found_something_and_ends():
    model = build(
        HEADER
        + f" m (float[n, 4, 6, 6] x) => (y) <{WEIGHTS}> {{ {INCEPTION} y = Concat<axis = 1>(p, q, r) }}"
    )
    _, found = fused(model, RULES)
    assert found == {"merge_concatenated": 1}
    again, found = fused(optimize(model), (*RULES, *ATTENTION, *SPLIT))
    assert not found
    assert ops(again) == ["Conv", "Relu"]


def test_graphs_inside_the_graph_are_fused_too():
    branch = "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half)"
    inner = branch.replace("y =", "g =")
    text = f" m (float[n, 7] x, bool flag) => (y) <{NUMBERS}> {{ y = If(flag) <then_branch = t () => (float[n, 7] g) {{ {inner} }}, else_branch = e () => (float[n, 7] h) {{ h = Neg(x) }}> }}"
    model = build(HEADER + text)
    result = optimize(model)
    then = next(a.g for a in result.graph.node[0].attribute if a.name == "then_branch")
    assert [node.op_type for node in then.node] == ["Gelu"]
    for flag in (True, False):
        same(model, result, {"x": draw(3, 7), "flag": np.array(flag)})
