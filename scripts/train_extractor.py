#!/usr/bin/env python3
"""Train the models that choose a page's content and tell its type (stages/src/html/model.txt and page_type.txt).

usage: train_extractor.py GOLD_DIR BLOCK_FEATURES OUT_DIR [--scratch DIR] [--folds 5] [--only N] [--no-write]
GOLD_DIR holds <set>.jsonl.gz or .xz with lines {id, url, type, text, html}; BLOCK_FEATURES is the example of that name
(cargo build --release -p gristmill-stages --example block_features), whose rows go to the scratch folder. Needs numpy and
lightgbm (pip). Prints scores cross-validated by host: no page is judged by a model that has seen its host. One thread and
fixed seeds: same input, same weights.
"""
import argparse, bisect, gzip, hashlib, json, lzma, os, statistics, subprocess, sys, tempfile, time, re, urllib.parse
from collections import Counter, defaultdict
import numpy as np
import lightgbm as lgb

SETS = ["wcxb_dev", "scrapinghub", "magic_article", "magic_forum", "mozilla"]
TYPES = ["article", "collection", "documentation", "forum", "listing", "product", "service"]
BLOCKS = dict(objective="cross_entropy", num_leaves=48, learning_rate=0.06, min_data_in_leaf=200, feature_fraction=0.3,
              bagging_fraction=0.7, bagging_freq=1, lambda_l2=5.0, max_bin=63)
BLOCK_TREES = 240
PAGES = dict(objective="multiclass", num_class=len(TYPES), num_leaves=6, learning_rate=0.1, min_data_in_leaf=10,
             feature_fraction=0.3, bagging_fraction=0.7, bagging_freq=1, lambda_l2=3.0, max_bin=63)
PAGE_TREES = 60
# How much stricter the blocks of a page of each type are judged: `stricter` in page_type.rs.
STRICTER = np.array([0.4, -0.3, 0, 0, -0.3, 1.0, 0])
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
        expected = np.nan_to_num(right / (kept + right[-1]) + 0.5 * together)
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
    pages, rows, page_rows, at = [], [], [], 0
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
        lines = [json.loads(l) for l in open(f"{scratch}/{name}.jsonl")]
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
    return pages, np.concatenate(rows), np.concatenate(page_rows)


def weights(p):
    """Every page weighs the same, as it does in the score; in it every word. The others' pages are long known articles."""
    share = (p["n"] + 1) / (p["n"].sum() * 0.3 + p["n_gold"] + 30)
    return share * (1.0 if p["set"] == "wcxb_dev" else 0.7)


# ---- models as text ----

def write(model, outputs, path):
    """One line a tree: nodes in pre-order, `feature:threshold` (left when <=) followed by both branches, or `=value`."""
    def number(threshold):
        # The largest single that is not above it: singles compare with both alike.
        single = np.float32(threshold)
        return str(single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf)))

    def walk(node, out):
        if "leaf_value" in node:
            out.append(f"={node['leaf_value']:.5g}")
        else:
            assert node["decision_type"] == "<="
            out.append(f"{node['split_feature']}:{number(node['threshold'])}")
            walk(node["left_child"], out); walk(node["right_child"], out)
    with open(path, "w") as f:
        f.write(f"features {model.num_feature()} outputs {outputs}\n")
        for tree in model.dump_model()["tree_info"]:
            out = []
            walk(tree["tree_structure"], out)
            f.write(" ".join(out) + "\n")


def read(path):
    """The sum of a model of one output over rows, as its text says; the check of what Rust reads."""
    def parse(ws, at, x, rows, out):
        if ws[at][0] == "=":
            out[rows] += np.float32(ws[at][1:])
            return at + 1
        feature, threshold = ws[at].split(":")
        left = x[rows, int(feature)] <= np.float32(threshold)
        at = parse(ws, at + 1, x, rows[left], out)
        return parse(ws, at, x, rows[~left], out)
    lines = open(path).read().splitlines()

    def total(x):
        out = np.zeros(len(x), np.float32)
        for line in lines[1:]:
            parse(line.split(" "), 0, x, np.arange(len(x)), out)
        return out
    return int(lines[0].split(" ")[1]), total


def main():
    a = argparse.ArgumentParser()
    a.add_argument("gold"); a.add_argument("executable"); a.add_argument("out")
    a.add_argument("--scratch"); a.add_argument("--folds", type=int, default=5)
    a.add_argument("--only", type=int, default=0, help="score so many folds alone, to look quickly")
    a.add_argument("--no-write", action="store_true", help="check and cross-validate alone")
    a = a.parse_args()
    scratch = a.scratch or tempfile.mkdtemp()
    os.makedirs(scratch, exist_ok=True)
    pages, x, page_x = load(a.gold, a.executable, scratch)
    print(f"{len(pages)} pages, {len(x)} blocks, {x.shape[1]} features", flush=True)
    keep = [p["hi"] > p["lo"] for p in pages]
    page_x, empty = page_x[keep], [p for p in pages if p["hi"] == p["lo"]]
    pages = [p for p in pages if p["hi"] > p["lo"]]
    print("labels     ", evaluate(pages, [p["y"] > 0.5 for p in pages]))
    print("committed, on pages that it has seen", evaluate(pages, [p["kept"] for p in pages]), flush=True)
    length, committed = read(f"{a.out}/model.txt")
    if length == x.shape[1]:
        some = pages[::8]
        at = np.concatenate([np.arange(p["lo"], p["hi"]) for p in some])
        there = np.concatenate([p["rust"] for p in some])
        print(f"committed model in Rust and here: {len(at)} blocks of {len(some)} pages, sums at most "
              f"{np.abs(committed(x[at]) - there).max():.1e} apart", flush=True)
    y = np.concatenate([p["y"] for p in pages])
    w = np.concatenate([weights(p) for p in pages])
    folds = np.array([int(hashlib.sha256(p["host"].encode()).hexdigest()[:8], 16) % a.folds for p in pages])
    fold = np.concatenate([np.full(p["hi"] - p["lo"], f) for p, f in zip(pages, folds)])
    known = np.array([p["type"] in TYPES and p["set"] == "wcxb_dev" for p in pages])
    kinds = np.array([TYPES.index(p["type"]) if k else -1 for p, k in zip(pages, known)])
    scores, guess = np.zeros(len(y), np.float32), np.zeros((len(pages), len(TYPES)), np.float32)
    # The bins, which know no label, are made once for all folds.
    blocks = lgb.Dataset(x, y, weight=w, params={**BLOCKS, **SAME}, free_raw_data=False).construct()
    for k in range(a.only or a.folds):
        start = time.time()
        model = lgb.train({**BLOCKS, **SAME}, blocks.subset(np.flatnonzero(fold != k)), BLOCK_TREES)
        scores[fold == k] = model.predict(x[fold == k], raw_score=True)
        train = (folds != k) & known
        model = lgb.train({**PAGES, **SAME}, lgb.Dataset(page_x[train], kinds[train]), PAGE_TREES)
        guess[folds == k] = model.predict(page_x[folds == k])
        print(f"fold {k}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    np.save(f"{scratch}/scores.npy", scores)
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
        model = lgb.train({**BLOCKS, **SAME}, blocks, BLOCK_TREES)
        write(model, 1, f"{a.out}/model.txt")
        there, ours = read(f"{a.out}/model.txt")[1](x[::50]), model.predict(x[::50], raw_score=True)
        print(f"model.txt and LightGBM: sums at most {np.abs(there - ours).max():.1e} apart")
        model = lgb.train({**PAGES, **SAME}, lgb.Dataset(page_x[known], kinds[known]), PAGE_TREES)
        write(model, len(TYPES), f"{a.out}/page_type.txt")


if __name__ == "__main__":
    main()
