#!/usr/bin/env python3
"""Train what chooses a page's content and tells its type (stages/src/html/lexicon.txt, model.txt and page_type.txt).

usage: train_extractor.py GOLD_DIR BLOCK_FEATURES OUT_DIR [--scratch DIR] [--folds 5] [--only N] [--jobs 2] [--no-write]
GOLD_DIR holds <set>.jsonl.gz or .xz with lines {id, url, type, text, html}; BLOCK_FEATURES is the example of that name
(cargo build --release -p gristmill-stages --example block_features), whose rows go to the scratch folder. Needs numpy, scipy
and lightgbm (pip). Prints scores cross-validated by host: no page is judged by a model that has seen its host. One thread a
fold and fixed seeds: same input, same weights.

The lexicon (logistic regression over words) is learned first; what its words sum to is among the features of the trees. A
page must not be weighed by words that its own labels taught, neither in training nor in judging: folds are nested.
"""
import argparse, gzip, hashlib, json, lzma, os, statistics, subprocess, sys, tempfile, time, re, urllib.parse
from collections import Counter, defaultdict
import multiprocessing
import numpy as np
import lightgbm as lgb
import scipy.optimize
import scipy.sparse

SETS = ["wcxb_dev", "scrapinghub", "magic_article", "magic_forum", "mozilla"]
TYPES = ["article", "collection", "documentation", "forum", "listing", "product", "service"]
# Trees of six steps for every block.
BLOCKS = dict(objective="cross_entropy", num_leaves=64, max_depth=6, learning_rate=0.1, min_data_in_leaf=100, feature_fraction=0.3,
              bagging_fraction=0.7, bagging_freq=1, lambda_l2=5.0, max_bin=63)
# Two forests of other seeds, whose mean is taken: alone each depends on luck where a page is doubtful.
BLOCK_TREES, BLOCK_SEEDS = 250, (1, 2)
# Trees of each forest that judge every block; if their sum is SURE, it is not asked further, and all would have it grow so much:
# `FIRST`, `SURE` and `GROWTH` in content.rs.
FIRST, SURE, GROWTH = 50, 2.0, 1.4
PAGES = dict(objective="multiclass", num_class=len(TYPES), num_leaves=6, learning_rate=0.1, min_data_in_leaf=10,
             feature_fraction=0.3, bagging_fraction=0.7, bagging_freq=1, lambda_l2=3.0, max_bin=63)
PAGE_TREES = 60
# A word of the lexicon stands on pages of so many hosts at least.
HOSTS = 10
KINDS = {"name": ["own", "near", "far"], "word": ["text", "heading", *TYPES], "pair": ["pair"], "whole": ["whole"]}
FIELDS = ["own", "near", "far", "text", "pair", "whole", "heading"]
# The pull of their weights to zero, and the hundredths below which a word is left out. Names are those of few site builders, so
# that weights of theirs are more easily too sure.
PULL, LEAST = [6, 6, 6, 1, 1, 1, 1], 5
# The same for the weights of words for types of pages.
TYPE_PULL, TYPE_LEAST = 20, 2
# What ends a row: the sums of the lexicon's fields, those of the texts before and after, and how likely each type of page is.
SUMS = len(FIELDS) + 2
LEARNED = SUMS + len(TYPES)
# How much stricter the blocks of a page of each type are judged: `stricter` in page_type.rs.
STRICTER = np.array([0.4, -0.3, 0, 0, -0.3, 1.0, 0])
# How much it counts that blocks hang together: `TOGETHER` in choice.rs.
TOGETHER = 0.6
SAME = dict(num_threads=1, seed=1, deterministic=True, force_row_wise=True, verbosity=-1)
WORD = re.compile(r"\w+")
CJK = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")


def words(text, lower=True):
    text = CJK.sub(r" \1 ", text or "")
    return WORD.findall(text.lower() if lower else text)


# ---- what of a page is in its gold text ----

def align(page, gold):
    """For every word of the page the place in the gold text that a longest common subsequence gives it, or -1.

    Hyyro's bit-parallel recurrence: a row is a number with a zero bit where the length grows.
    """
    if not gold or not page:
        return [-1] * len(page)
    places = {}
    for at, word in enumerate(gold):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(gold)) - 1
    row, rows = full, []
    for word in page:
        hits = places.get(word, 0)
        if hits:
            both = row & hits
            row = ((row + both) | (row - both)) & full
            rows.append(row.to_bytes(len(gold) // 8 + 1, "little"))
        else:
            rows.append(rows[-1] if rows else full.to_bytes(len(gold) // 8 + 1, "little"))
    out = [-1] * len(page)
    i, j = len(page) - 1, len(gold) - 1
    while i >= 0 and j >= 0:
        if rows[i][j >> 3] >> (j & 7) & 1:
            j -= 1
        elif i > 0 and not rows[i - 1][j >> 3] >> (j & 7) & 1:
            i -= 1
        else:
            out[i] = j
            i, j = i - 1, j - 1
    return out


def labels(blocks, gold):
    """How much of each block is in the gold text, 0 to 1.

    Long blocks by their 4-grams. Short ones occur by chance ("3", "or", "Home"): they count where the alignment of the
    whole page places them in one piece. Of blocks with the same text those count that the alignment chose.
    """
    places = align([w for b in blocks for w in b], gold)
    joined = " " + " ".join(gold) + " "
    grams = {tuple(gold[i:i + 4]) for i in range(len(gold) - 3)}
    repeats = Counter(tuple(b) for b in blocks)
    shares, whole, at = [], [], 0
    aligned = Counter()
    for b in blocks:
        own = places[at:at + len(b)]
        at += len(b)
        shares.append(sum(p >= 0 for p in own) / max(1, len(b)))
        whole.append(all(p >= 0 for p in own) and all(b == a + 1 for a, b in zip(own, own[1:])))
        if shares[-1] > 0.6:
            aligned[tuple(b)] += 1
    out = []
    for b, share, in_one_piece in zip(blocks, shares, whole):
        key = tuple(b)
        n, taken = repeats[key], aligned[key]
        if not b:
            out.append(0.0)
        elif len(b) >= 6:
            value = sum(tuple(b[i:i + 4]) in grams for i in range(len(b) - 3)) / (len(b) - 3)
            if n > 1 and value > 0.5:
                count = max(1, joined.count(" " + " ".join(b) + " "))
                if count < n and 0 < taken < n:
                    value *= 1.0 if share > 0.6 else max(0.0, count - taken) / (n - taken)
                elif count < n:
                    value *= count / n
            out.append(value)
        else:
            count = joined.count(" " + " ".join(b) + " ")
            left = min(1.0, max(0, count - taken) / max(1, n - taken))
            out.append(0.0 if not count else 1.0 if in_one_piece else left * min(0.8, 0.2 * len(b)))
    return np.array(out, dtype=np.float32)


# ---- words ----

class Tokens:
    """For every block the words that may be weighed, as a sparse matrix of counts."""

    def __init__(self):
        self.places, self.fields, self.at, self.starts = {}, [], [], [0]

    def add(self, tokens):
        for token in tokens:
            place = self.places.setdefault(token, len(self.places))
            self.at.append(place)
        self.starts.append(len(self.at))

    def finish(self, pages):
        """Leaves out words of few hosts."""
        at = np.array(self.at, np.int32)
        counts = scipy.sparse.csr_matrix((np.ones(len(at), np.float32), at, np.array(self.starts)),
                                         (len(self.starts) - 1, len(self.places)))
        del self.at
        counts.sum_duplicates()
        hosts = sorted({p["host"] for p in pages})
        index = {h: at for at, h in enumerate(hosts)}
        host = np.concatenate([np.full(p["hi"] - p["lo"], index[p["host"]]) for p in pages])
        rows = np.repeat(host, np.diff(counts.indptr))
        seen = np.unique(rows.astype(np.int64) * len(self.places) + counts.indices)
        number = np.bincount(seen % len(self.places), minlength=len(self.places))
        kept = np.flatnonzero(number >= HOSTS)
        names = list(self.places)
        self.names = [names[k] for k in kept]
        self.counts = counts[:, kept].tocsr()
        self.fields = np.array([FIELDS.index(n.split(" ", 1)[0]) for n in self.names])
        del self.places

    def learn(self, rows, y, w):
        """Weights by logistic regression over some blocks, in whole hundredths: their sums are exact in any order."""
        x, y, w, pull = self.counts[rows], y[rows].astype(float), w[rows].astype(float), np.array(PULL)[self.fields]
        turned = x.T.tocsr()

        def loss(v):
            z = x @ v[:-1] + v[-1]
            p = 1 / (1 + np.exp(-z))
            g = w * (p - y)
            value = float(w @ (np.logaddexp(0, z) - y * z)) + 0.5 * float((pull * v[:-1]) @ v[:-1])
            return value, np.append(turned @ g + pull * v[:-1], g.sum())
        found = scipy.optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B",
                                        options=dict(maxiter=60))
        v = np.round(100 * found.x[:-1])
        return np.where(np.abs(v) < LEAST, 0, v)

    def sums(self, v, pages):
        """The features that weights give the blocks of pages, row by row."""
        out = []
        for p in pages:
            x = self.counts[p["lo"]:p["hi"]]
            own = np.stack([x @ (v * (self.fields == f)) for f in range(len(FIELDS))], 1)
            text = own[:, 3:6].sum(1)
            out.append(np.column_stack([own, np.append(0, text[:-1]), np.append(text[1:], 0)]))
        return np.concatenate(out).astype(np.float32)

    def levels(self, pages):
        """For every page how often its blocks begin with a word, as `LEVELS` in lexicon.rs has it."""
        rows = np.repeat(np.arange(len(pages)), [p["hi"] - p["lo"] for p in pages])
        sums = scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))), (len(pages), len(rows)))
        levels = (sums @ self.counts[:, self.fields == FIELDS.index("text")]).tocsr()
        levels.data = np.minimum(np.round(2 * np.log2(1 + levels.data)), 8).astype(np.float32)
        return levels

    def write(self, v, types, path):
        """One line a word: its kind, its weight in every field of the kind, itself."""
        weights = {name: int(weight) for name, weight in zip(self.names, v) if weight}
        texts = [name.split(" ", 1)[1] for name in self.names if name.startswith("text ")]
        for word, row in zip(texts, types[:-1]):
            weights.update((f"{kind} {word}", int(weight)) for kind, weight in zip(TYPES, row) if weight)
        lines = set()
        for field, word in (name.split(" ", 1) for name in weights):
            kind = next(kind for kind, fields in KINDS.items() if field in fields)
            lines.add((kind, word, *(weights.get(f"{field} {word}", 0) for field in KINDS[kind])))
        with open(path, "w") as file:
            print("bias", *(int(weight) for weight in types[-1]), file=file)
            for kind, word, *numbers in sorted(lines):
                print(kind, *numbers, word, file=file)
        return len(lines) + 1

    def read(self, path):
        """The weights that a file of `write` holds."""
        weights, bias = {}, None
        for line in open(path):
            kind, rest = line.rstrip("\n").split(" ", 1)
            if kind == "bias":
                bias = [int(number) for number in rest.split(" ")]
                continue
            *numbers, word = rest.split(" ", len(KINDS[kind]))
            weights.update((f"{field} {word}", int(number)) for field, number in zip(KINDS[kind], numbers))
        texts = [name.split(" ", 1)[1] for name in self.names if name.startswith("text ")]
        types = [[weights.get(f"{kind} {word}", 0) for kind in TYPES] for word in texts]
        return np.array([weights.get(name, 0) for name in self.names]), np.array([*types, bias])


def learn_types(levels, kinds):
    """What the words of a page say of its type, in whole hundredths: a row of weights for every word, the last one without."""
    # A page in a language whose words are not known is like all pages: as many pages without words, which count a tenth each.
    weight = np.repeat([1.0, 0.1], len(kinds))[:, None]
    levels = scipy.sparse.vstack([levels, scipy.sparse.csr_matrix(levels.shape, dtype=np.float32)]).tocsr()
    words, turned, truth = levels.shape[1], levels.T.tocsr(), np.eye(len(TYPES))[np.tile(kinds, 2)]

    def loss(v):
        v = v.reshape(words + 1, len(TYPES))
        z = levels @ v[:-1] + v[-1]
        z -= z.max(1, keepdims=True)
        total = np.exp(z).sum(1, keepdims=True)
        g = weight * (np.exp(z) / total - truth)
        value = float((weight * (np.log(total) - (z * truth).sum(1, keepdims=True))).sum() + 0.5 * TYPE_PULL * (v[:-1] ** 2).sum())
        return value, np.concatenate([turned @ g + TYPE_PULL * v[:-1], g.sum(0)[None]]).ravel()
    found = scipy.optimize.minimize(loss, np.zeros((words + 1) * len(TYPES)), jac=True, method="L-BFGS-B",
                                    options=dict(maxiter=80))
    v = np.round(100 * found.x.reshape(words + 1, len(TYPES)))
    v[:-1][np.abs(v[:-1]) < TYPE_LEAST] = 0
    return v


def mean(models, rows, trees=None):
    return np.mean([model.predict(rows, raw_score=True, num_iteration=trees) for model in models], axis=0)


def sums(models, rows):
    """What content.rs makes of rows: few trees for those that they are sure of."""
    first = mean(models, rows, FIRST)
    return np.where(np.abs(first) > SURE, GROWTH * first, mean(models, rows))


def shares(levels, types, trees):
    """How likely each type is, by words and by what the page is made of: `PageType::of`."""
    z = 0.5 * ((levels @ types[:-1] + types[-1]) / 100 + trees)
    z = np.exp(z - z.max(1, keepdims=True))
    return (z / z.sum(1, keepdims=True)).astype(np.float32)


# ---- scores ----

def word_f1(kept, n_kept, page):
    if not page["n_gold"]:
        return float(n_kept == 0)
    overlap = sum(min(c, page["gold"][w]) for w, c in kept.items() if w in page["gold"])
    return 2 * overlap / (n_kept + page["n_gold"]) if overlap else 0.0


def choose(sums, n, stricter):
    """What `choice.rs` keeps, and the F1 that it expects."""
    q = 1 / (1 + np.exp(stricter - sums.astype(float)))
    order = np.argsort(-q, kind="stable")
    qs, ns = q[order], n[order].astype(float)
    kept, right = np.cumsum(ns), np.cumsum(qs * ns)
    levels = np.searchsorted(-qs, -(np.arange(20) + 0.5) / 20, side="right")
    truth = np.concatenate([[0.0], kept])[levels]
    with np.errstate(invalid="ignore"):
        together = (2 * np.minimum(kept[:, None], truth) / (kept[:, None] + truth)).mean(1)
        expected = np.nan_to_num((1 - TOGETHER) * 2 * right / (kept + right[-1]) + TOGETHER * together)
    keep = np.zeros(len(q), bool)
    if expected.max() > 0:
        keep[order[:int(np.argmax(expected)) + 1]] = True
    return keep, float(expected.max())


def shingles(ws):
    return Counter(tuple(ws[i:i + 4]) for i in range(max(1, len(ws) - 3))) if ws else Counter()


def evaluate(pages, keeps):
    """Mean word F1 by set and by type of WCXB; shingle F1 of scrapinghub."""
    by, precision, recall = defaultdict(list), [], []
    for p, keep in zip(pages, keeps):
        if p["text"] is None:
            continue
        total = Counter()
        for at in np.flatnonzero(keep):
            total.update(p["blocks"][at])
        f = word_f1(total, sum(total.values()), p)
        by[p["set"]].append(f)
        if p["set"] == "wcxb_dev":
            by["  " + p["type"]].append(f)
        if p["set"] == "scrapinghub":
            a = shingles(words("\n".join(p["texts"][at] for at in np.flatnonzero(keep)), lower=False))
            b = shingles(words(p["text"], lower=False))
            precision.append(sum((a & b).values()) / max(1, sum(a.values())))
            recall.append(sum((a & b).values()) / max(1, sum(b.values())))
    out = {k: round(statistics.mean(v), 4) for k, v in sorted(by.items())}
    if precision:
        p, r = statistics.mean(precision), statistics.mean(recall)
        out["scrapinghub sF1"] = round(2 * p * r / (p + r), 4) if p + r else 0.0
    return out


# ---- data ----

def load(gold_dir, executable, scratch):
    pages, rows, page_rows, at, tokens = [], [], [], 0, Tokens()
    for name in SETS:
        path = next(p for e in (".jsonl.gz", ".jsonl.xz") if os.path.exists(p := f"{gold_dir}/{name}{e}"))
        gold = {}
        process = subprocess.Popen([executable, f"{scratch}/{name}"], stdin=subprocess.PIPE)
        with (lzma if path.endswith("xz") else gzip).open(path, "rb") as file:
            for line in file:
                g = json.loads(line)
                gold[g["id"]] = dict(url=g["url"], type=g["type"], text=g["text"])
                process.stdin.write(line)
        process.stdin.close()
        if process.wait():
            sys.exit(f"{executable} failed")
        lines = []
        for line in open(f"{scratch}/{name}.jsonl"):
            lines.append(json.loads(line))
            for block in lines[-1].pop("tokens"):
                tokens.add(block)
        total = sum(len(l["texts"]) for l in lines)
        rows.append(np.fromfile(f"{scratch}/{name}.f32", dtype="<f4").reshape(total, -1))
        page_rows.append(np.fromfile(f"{scratch}/{name}.pages.f32", dtype="<f4").reshape(len(lines), -1))
        for l in lines:
            g = gold[l["id"]]
            blocks = [words(t) for t in l["texts"]]
            gw = words(g["text"])
            host = urllib.parse.urlsplit(g["url"] or l["id"]).netloc.removeprefix("www.")
            pages.append(dict(set=name, type=g["type"], host=host, lo=at, hi=at + len(blocks), texts=l["texts"], text=g["text"],
                              blocks=[Counter(b) for b in blocks], y=labels(blocks, gw), n=np.array([len(b) for b in blocks]),
                              words=np.array(l["words"]), gold=Counter(gw), n_gold=len(gw),
                              rust=np.array(l["sums"]), kept=np.array(l["kept"], bool)))
            at += len(blocks)
    tokens.finish(pages)
    return pages, np.concatenate(rows), np.concatenate(page_rows), tokens


def weights(p):
    """Every page weighs the same, as it does in the score; in it every word. The others' pages are long known articles."""
    share = (p["n"] + 1) / (p["n"].sum() * 0.3 + p["n_gold"] + 30)
    return share * (1.0 if p["set"] == "wcxb_dev" else 0.7)


# ---- models as text ----

def write(models, outputs, path):
    """The models' mean, a tree of each in turn. One line a tree: nodes in pre-order, `feature:threshold` (left when <=) followed by
    both branches, or `=value`."""
    def number(threshold):
        # The largest single that is not above it: singles compare with both alike.
        single = np.float32(threshold)
        return str(single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf)))

    def walk(node, out):
        if "leaf_value" in node:
            out.append(f"={node['leaf_value'] / len(models):.5g}")
        else:
            assert node["decision_type"] == "<="
            out.append(f"{node['split_feature']}:{number(node['threshold'])}")
            walk(node["left_child"], out); walk(node["right_child"], out)
    with open(path, "w") as f:
        f.write(f"features {models[0].num_feature()} outputs {outputs}\n")
        for trees in zip(*(model.dump_model()["tree_info"] for model in models)):
            for tree in trees:
                out = []
                walk(tree["tree_structure"], out)
                f.write(" ".join(out) + "\n")


def read(path):
    """The sums of a model over rows, one for each of its outputs, as its text says; the check of what Rust reads."""
    def parse(ws, at, x, rows, out):
        if ws[at][0] == "=":
            out[rows] += np.float32(ws[at][1:])
            return at + 1
        feature, threshold = ws[at].split(":")
        left = x[rows, int(feature)] <= np.float32(threshold)
        at = parse(ws, at + 1, x, rows[left], out)
        return parse(ws, at, x, rows[~left], out)
    lines = open(path).read().splitlines()
    outputs = int(lines[0].split(" ")[3])

    def total(x):
        out = np.zeros((len(x), outputs), np.float32)
        for number, line in enumerate(lines[1:]):
            parse(line.split(" "), 0, x, np.arange(len(x)), out[:, number % outputs])
        return out
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gold", help="the folder of gold pages")
    parser.add_argument("executable", help="the example block_features, built")
    parser.add_argument("out", help="the folder of the committed models, which are checked and then written anew")
    parser.add_argument("--scratch", help="a folder for what is worked with; a new one unless told")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, default=0, help="score so many folds alone, to look quickly")
    parser.add_argument("--jobs", type=int, default=2, help="folds that are trained side by side")
    parser.add_argument("--no-write", action="store_true", help="check and cross-validate alone")
    a = parser.parse_args()
    lacking = [name for name in ("lexicon.txt", "model.txt", "page_type.txt") if not os.path.exists(f"{a.out}/{name}")]
    if lacking:
        parser.error(f"{a.out} lacks {', '.join(lacking)}: name stages/src/html, or copy its models there first")
    scratch = a.scratch or tempfile.mkdtemp()
    os.makedirs(scratch, exist_ok=True)
    pages, x, page_x, tokens = load(a.gold, a.executable, scratch)
    print(f"{len(pages)} pages, {len(x)} blocks, {x.shape[1]} features, {len(tokens.names)} words", flush=True)
    keep = [p["hi"] > p["lo"] for p in pages]
    page_x, empty = page_x[keep], [p for p in pages if p["hi"] == p["lo"]]
    pages = [p for p in pages if p["hi"] > p["lo"]]
    print("labels     ", evaluate(pages, [p["y"] > 0.5 for p in pages]))
    print("committed, on pages that it has seen", evaluate(pages, [p["kept"] for p in pages]), flush=True)
    v, types = tokens.read(f"{a.out}/lexicon.txt")
    levels = tokens.levels(pages)
    there = np.concatenate([tokens.sums(v, pages), np.repeat(shares(levels, types, read(f"{a.out}/page_type.txt")(page_x)),
                                                             [p["hi"] - p["lo"] for p in pages], 0)], 1)
    print(f"committed lexicon and types in Rust and here: at most {np.abs(x[:, -LEARNED:] - there).max():.1e} apart", flush=True)
    some = pages[::8]
    at = np.concatenate([np.arange(p["lo"], p["hi"]) for p in some])
    there = np.concatenate([p["rust"] for p in some])
    print(f"committed model in Rust and here: {len(at)} blocks of {len(some)} pages, sums at most "
          f"{np.abs(read(f'{a.out}/model.txt')(x[at])[:, 0] - there).max():.1e} apart", flush=True)
    y = np.concatenate([p["y"] for p in pages])
    w = np.concatenate([weights(p) for p in pages])
    folds = np.array([int(hashlib.sha256(p["host"].encode()).hexdigest()[:8], 16) % a.folds for p in pages])
    fold = np.concatenate([np.full(p["hi"] - p["lo"], f) for p, f in zip(pages, folds)])
    known = np.array([p["type"] in TYPES and p["set"] == "wcxb_dev" for p in pages])
    kinds = np.array([TYPES.index(p["type"]) if k else -1 for p, k in zip(pages, known)])
    scores, guess = np.zeros(len(y), np.float32), np.zeros((len(pages), len(TYPES)), np.float32)
    number = a.only or a.folds
    by_fold = [[p for p, f in zip(pages, folds) if f == k] for k in range(a.folds)]

    def learn(without):
        """Lexicon and types of pages from all folds but some."""
        start = time.time()
        v = tokens.learn(np.flatnonzero(~np.isin(fold, without)), y, w)
        told = ~np.isin(folds, without) & known
        types = learn_types(levels[told], kinds[told])
        trees = lgb.train({**PAGES, **SAME}, lgb.Dataset(page_x[told], kinds[told]), PAGE_TREES)
        print(f"words without {without}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        return v, types, trees.model_to_string()

    def fill(f, v, types, trees):
        """The features that were learned, of the pages of a fold; their shares of types come back."""
        at = folds == f
        found = shares(levels[at], types, lgb.Booster(model_str=trees).predict(page_x[at], raw_score=True))
        x[fold == f, -LEARNED:-len(TYPES)] = tokens.sums(v, by_fold[f])
        x[fold == f, -len(TYPES):] = np.repeat(found, [p["hi"] - p["lo"] for p in by_fold[f]], 0)
        return found

    def judge(k):
        """Scores and types of the pages of a fold, or, for none, a model of all."""
        start = time.time()
        for f in range(a.folds):
            if f != k:
                fill(f, *learned[tuple(sorted({k, f} - {None}))])
        found = None if k is None else fill(k, *learned[k,])
        train = fold != (-1 if k is None else k)
        data = lgb.Dataset(x[train], y[train], weight=w[train], params={**BLOCKS, **SAME}).construct()
        models = [lgb.train({**BLOCKS, **SAME, "seed": seed}, data, BLOCK_TREES) for seed in BLOCK_SEEDS]
        print(f"fold {k}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        if k is None:
            return [model.model_to_string() for model in models], x[::50]
        return sums(models, x[fold == k]), found

    global work
    work = learn
    wanted = sorted({tuple(sorted({k, f})) for k in range(number) for f in range(a.folds)} |
                    ({(f,) for f in range(a.folds)} | {()} if not a.no_write else set()))
    with multiprocessing.get_context("fork").Pool(a.jobs) as pool:
        learned = dict(zip(wanted, pool.map(run, wanted, 1)))
    work = judge
    with multiprocessing.get_context("fork").Pool(a.jobs) as pool:
        done = pool.map(run, [*range(number), *([] if a.no_write else [None])], 1)
    for k in range(number):
        scores[fold == k], guess[folds == k] = done[k]
    np.save(f"{scratch}/scores.npy", scores)
    np.save(f"{scratch}/types.npy", guess)
    seen = [at for at, f in enumerate(folds) if f < (a.only or a.folds)]
    some = [pages[at] for at in seen]
    for t in (0.3, 0.35, 0.4, 0.45, 0.5):
        print(f"threshold {t}", evaluate(some, [scores[p["lo"]:p["hi"]] >= np.log(t / (1 - t)) for p in some]))
    choices = [choose(scores[p["lo"]:p["hi"]], p["words"], s) for p, s in zip(some, guess[seen] @ STRICTER)]
    result = evaluate(some + empty, [c[0] for c in choices] + [p["kept"] for p in empty])
    print("expected F1   ", result)
    judged = [at for at in seen if known[at]]
    right = guess.argmax(1) == kinds
    print("page type right:", round(float(right[judged].mean()), 4),
          {t: round(float(right[judged][kinds[judged] == i].mean()), 3) for i, t in enumerate(TYPES)})
    sure = [(c[1], evaluate([p], [c[0]])) for p, c in zip(some, choices) if p["set"] == "wcxb_dev" and p["text"] is not None]
    sure = sorted((s, f["wcxb_dev"]) for s, f in sure)
    parts = np.array_split(np.array(sure), 5)
    print("confidence and true F1, by fifths:", [tuple(np.round(part.mean(0), 3).tolist()) for part in parts], flush=True)
    if not a.no_write:
        models, some_x = [lgb.Booster(model_str=text) for text in done[-1][0]], done[-1][1]
        write(models, 1, f"{a.out}/model.txt")
        there, ours = read(f"{a.out}/model.txt")(some_x)[:, 0], mean(models, some_x)
        print(f"model.txt and LightGBM: sums at most {np.abs(there - ours).max():.1e} apart")
        v, types, trees = learned[()]
        write([lgb.Booster(model_str=trees)], len(TYPES), f"{a.out}/page_type.txt")
        lines = tokens.write(v, types, f"{a.out}/lexicon.txt")
        print(f"lexicon.txt: {lines} lines of {len(tokens.names)} words that stand on pages of {HOSTS} hosts")


def run(what):
    return work(what)


if __name__ == "__main__":
    main()
