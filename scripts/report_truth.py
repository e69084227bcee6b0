#!/usr/bin/env python3
"""Compares a finished run of configs/debian-docs.toml with what is known about every capture; prints Markdown tables.

    gristmill run configs/debian-docs.toml
    scripts/report_truth.py runs/debian-docs ../shared/data/warc_debian [--gristmill target/release/gristmill]

What was dropped where and why, duplicates found against what the bands promise, language, charset. Needs Python alone:
documents come from `gristmill preview --json`, clusters from the run's store, pages from the archives.
"""

import argparse
import collections
import csv
import gzip
import html
import json
import re
import struct
import subprocess
import unicodedata
import zlib
from pathlib import Path

KINDS = "page exact_dup nd1 nd5 nd20 nd50 rewrap_dup redirect notfound error nonhtml".split()
DUPLICATES = "exact_dup nd1 nd5 nd20 nd50 rewrap_dup".split()
BANDS, ROWS, NGRAM = 14, 8, 5
PRECISION = 0.7
BINS = [0, 0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]


def table(head, rows):
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    print()


def share(part, whole):
    return f"{part}/{whole} ({100 * part / whole:.1f} %)" if whole else "-"


class Run:
    def __init__(self, folder, gristmill):
        self.folder, self.gristmill = Path(folder), gristmill
        self.plan = json.loads((self.folder / "plan.json").read_text())
        self.store = Path(self.plan["store"])
        self.steps = {step["id"]: step for step in self.plan["steps"]}
        self.stages = [stage["id"] for stage in self.plan["stages"]]

    def documents(self, *arguments):
        command = [self.gristmill, "preview", str(self.folder), *arguments, "-n", "100000000", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def dedup(self):
        """The documents that `minhash_dedup` saw, in order, and the cluster of each."""
        step = self.steps.get("minhash_dedup.clusters")
        if step is None:
            return [], []
        folder = self.store / step["fingerprint"]
        commit = json.loads((folder / "commits" / "00000.json").read_text())
        # Records of document, cluster, twice the size plus one for the survivor; documents alone in theirs have none.
        members = (folder / "attempts" / commit["attempt"] / "members.bin").read_bytes()
        documents = [
            document
            for source in self.steps["minhash_dedup.keys"]["work"]["head"]["parts"]["steps"]
            for document in self.documents("--stage", source)
        ]
        labels = list(range(len(documents)))
        for document, cluster, _ in struct.iter_unpack("<3Q", members):
            labels[document] = cluster
        return documents, labels


def read_truth(folder):
    with gzip.open(folder / "truth.tsv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {row["record_id"].strip("<>"): row for row in rows}


def funnel(run, truth, fate):
    print("## Kept and dropped, by kind of capture\n")
    counts = collections.defaultdict(collections.Counter)
    for identifier, row in truth.items():
        counts[fate.get(identifier, ("kept", ""))][row["kind"]] += 1
    order = {stage: i for i, stage in enumerate(run.stages)}
    rows = []
    for (stage, reason), kinds in sorted(
        counts.items(), key=lambda item: (order.get(item[0][0], 99), -sum(item[1].values()))
    ):
        rows.append([stage, reason, sum(kinds.values())] + [kinds[kind] or "" for kind in KINDS])
    rows.append(["all", "", len(truth)] + [sum(row["kind"] == kind for row in truth.values()) for kind in KINDS])
    table(["stage", "reason", "all", *KINDS], rows)


def expectations(run, truth, fate):
    """Drops that the truth calls for, and those that it does not."""
    print("## What must be dropped where\n")
    source = run.stages[0]
    rows = []

    def line(what, identifiers, want):
        met = sum(fate.get(identifier) in want for identifier in identifiers)
        rows.append([what, "; ".join(" ".join(pair) for pair in want), share(met, len(identifiers))])

    of_kind = lambda *kinds: [i for i, row in truth.items() if row["kind"] in kinds]
    line("redirect, notfound, error", of_kind("redirect", "notfound", "error"), [(source, "http_status")])
    line("nonhtml", of_kind("nonhtml"), [(source, "not_html")])
    past_source = {i for i in truth if fate.get(i, ("",))[0] != source}
    blocked = lambda kind: [i for i, row in truth.items() if row["blocked"] == kind and i in past_source]
    hosts = [("url_blocklist", "domain"), ("url_blocklist", "subdomain")]
    line("host on the list", blocked("host"), hosts)
    line("URL on the list", blocked("url"), [("url_blocklist", "url"), *hosts])
    table(["captures", "stage and reason", "dropped so"], rows)
    wrong = collections.Counter()
    for identifier, row in truth.items():
        stage, reason = fate.get(identifier, ("", ""))
        if stage == source and row["kind"] in ("page", *DUPLICATES):
            wrong[f"{row['kind']} served as `{row['http_mime'] or 'nothing'}`: {reason}"] += 1
        if stage == "url_blocklist" and not row["blocked"]:
            wrong[f"{row['kind']} on no list: {reason}"] += 1
    for what, n in sorted(wrong.items()):
        print(f"- dropped all the same: {n} x {what}")
    print()


def tokens(text):
    """Words much as the stage makes them: lower case, no marks, numbers as 0, no punctuation; CJK by character."""
    text = unicodedata.normalize("NFD", text.lower())
    out = []
    for char in text:
        category = unicodedata.category(char)
        if category == "Nd":
            out.append("0")
        elif "\u3040" <= char <= "\u9fff" or "\u0e00" <= char <= "\u0eff":
            out.append(f" {char} ")
        elif category[0] in "LN":
            out.append(char)
        elif category[0] == "M":
            continue
        elif category[0] == "Z" or char.isspace():
            out.append(" ")
    return re.sub("0+", "0", "".join(out)).split()


def shingles(text):
    words = tokens(text)
    return {hash(tuple(words[i : i + NGRAM])) for i in range(len(words) - NGRAM + 1)}


def jaccard(a, b):
    return len(a & b) / len(a | b) if a or b else 1.0


def bin_of(value):
    return max(i for i, low in enumerate(BINS) if value >= low)


def promised(s):
    return 1 - (1 - s**ROWS) ** BANDS


def bin_name(i):
    return "1" if i == len(BINS) - 1 else f"{BINS[i]:.2f} to {BINS[i + 1]:.2f}"


def duplicates(run, truth, fate):
    documents, labels = run.dedup()
    if not documents:
        return
    print("## Duplicates\n")
    print(f"`minhash_dedup` saw {len(documents)} documents: {len(set(labels))} clusters.\n")
    place = {document["id"]: i for i, document in enumerate(documents)}
    sets = [shingles(document["text"]) for document in documents]
    by_uri = {row["uri"]: i for i, row in truth.items()}

    def rows_of(pairs, similarity):
        found, n, promise = collections.Counter(), collections.Counter(), collections.Counter()
        for a, b, given in pairs:
            s = similarity(a, b, given)
            key = bin_of(s)
            n[key] += 1
            promise[key] += promised(s)
            found[key] += labels[a] == labels[b]
        return [[bin_name(i), n[i], f"{promise[i] / n[i]:.3f}", f"{found[i] / n[i]:.3f}"] for i in sorted(n)]

    injected, by_kind = [], collections.defaultdict(list)
    for identifier, row in truth.items():
        source = by_uri.get(row["src_uri"])
        if row["kind"] in DUPLICATES and identifier in place and source in place:
            pair = (place[identifier], place[source], float(row["jaccard5"] or 1))
            # A source that was cut is no source.
            if not (row["truncated"] or truth[source]["truncated"]):
                injected.append(pair)
                by_kind[row["kind"]].append(pair)
    seen = lambda a, b, _: jaccard(sets[a], sets[b])
    print("Duplicates whose source came as far, by the similarity of the texts that the stage saw:\n")
    table(["similarity", "pairs", "promised", "in one cluster"], rows_of(injected, seen))
    print("The same by the similarity of the whole pages (`jaccard5`), which the stage does not see:\n")
    table(["similarity", "pairs", "promised", "in one cluster"], rows_of(injected, lambda a, b, given: given))
    rows = []
    for kind in DUPLICATES:
        pairs = by_kind[kind]
        if pairs:
            found = sum(labels[a] == labels[b] for a, b, _ in pairs)
            mean = sum(seen(*pair) for pair in pairs) / len(pairs)
            expected = sum(promised(seen(*pair)) for pair in pairs) / len(pairs)
            rows.append([kind, f"{mean:.3f}", f"{expected:.3f}", share(found, len(pairs))])
    print("By kind:\n")
    table(["kind", "mean similarity seen", "promised", "in one cluster"], rows)

    # All pairs that have enough in common, injected or not. What hundreds of pages share (menus) makes none alike.
    postings = collections.defaultdict(list)
    for i, shingle_set in enumerate(sets):
        for shingle in shingle_set:
            postings[shingle].append(i)
    candidates = {
        (a, b) for found in postings.values() if len(found) <= 100 for n, b in enumerate(found) for a in found[:n]
    }
    alike = [(a, b, s) for a, b in candidates if (s := jaccard(sets[a], sets[b])) >= 0.5]
    print("All pairs of texts that are alike by half, injected or by nature:\n")
    table(["similarity", "pairs", "promised", "in one cluster"], rows_of(alike, lambda a, b, given: given))

    # Equal bodies, and equal texts.
    for name, key in (
        ("bodies (`payload_sha1`)", lambda i: truth[documents[i]["id"]]["payload_sha1"]),
        ("texts that the stage saw, of 5 words and more", lambda i: documents[i]["text"] if sets[i] else i),
    ):
        groups = collections.defaultdict(list)
        for i in range(len(documents)):
            groups[key(i)].append(i)
        groups = [group for group in groups.values() if len(group) > 1]
        kept = [sum(documents[i]["id"] not in fate for i in group) for group in groups]
        more = sum(n > 1 for n in kept)
        print(f"- equal {name}: {len(groups)} groups, {more} with more than one survivor")
    print()

    dropped = [i for i, document in enumerate(documents) if fate.get(document["id"], ("",))[0] == "minhash_dedup"]
    gone = set(dropped)
    survivors = {labels[i]: i for i in range(len(documents)) if i not in gone}
    injected_ids = {i for i, row in truth.items() if row["kind"] in DUPLICATES}
    with_duplicate = {by_uri.get(truth[i]["src_uri"]) for i in injected_ids}
    known = sum(documents[i]["id"] in injected_ids or documents[i]["id"] in with_duplicate for i in dropped)
    print(f"Dropped: {len(dropped)}; {known} of them are injected duplicates or their sources, the rest are alike by")
    print("nature.\n")
    clusters = collections.defaultdict(list)
    for i, label in enumerate(labels):
        clusters[label].append(i)
    to_survivor = [jaccard(sets[i], sets[survivors[labels[i]]]) for i in dropped]
    nearest = [max(jaccard(sets[i], sets[j]) for j in clusters[labels[i]] if j != i) for i in dropped]
    pairs = [jaccard(sets[a], sets[b]) for group in clusters.values() for n, a in enumerate(group) for b in group[:n]]
    print("Precision: true similarity of documents that were put together. A cluster grows by chains, so that its ends may")
    print("be less alike than any pair that made it.\n")
    rows = []
    for name, values in (
        ("dropped document and the likest in its cluster", nearest),
        ("dropped document and the survivor", to_survivor),
        ("all pairs in one cluster", pairs),
    ):
        counts = collections.Counter(bin_of(value) for value in values)
        good = sum(value >= PRECISION for value in values)
        rows.append([name, share(good, len(values))] + [counts[i] for i in range(len(BINS))])
    table(["pairs", f">= {PRECISION}", *(bin_name(i) for i in range(len(BINS)))], rows)


def languages(run, truth, fate, rejects):
    if "language" not in run.stages:
        return
    print("## Language\n")
    after = run.stages.index("language")
    ours = {d["id"]: (d["language"], d["language_score"]) for d in rejects if d.get("language")}
    ours.update((d["id"], (d["language"], d["language_score"])) for d in run.documents())
    groups = collections.defaultdict(list)
    for identifier, (label, _) in ours.items():
        row = truth[identifier]
        groups[row["lang"].split("-")[0]].append((label, row["lid"], identifier in fate and
                                                  run.stages.index(fate[identifier][0]) <= after))
    rows = []
    for language, found in sorted(groups.items(), key=lambda item: -len(item[1])):
        labels = collections.Counter(label for label, _, _ in found)
        top = ", ".join(f"{label} {n}" for label, n in labels.most_common(4))
        hint = sum(label == lid for label, lid, _ in found)
        rows.append([language or "?", share(labels[language], len(found)), share(hint, len(found)),
                     sum(dropped for _, _, dropped in found), top])
    table(["package's language", "labelled so", "as lid.176 on the page's bare text", "dropped", "labels"], rows)


def body_of(archive, row):
    archive.seek(int(row["offset"]))
    record = zlib.decompress(archive.read(int(row["length"])), 31)
    _, _, http = record.partition(b"\r\n\r\n")
    _, _, body = http.partition(b"\r\n\r\n")
    body = body.removesuffix(b"\r\n\r\n")
    if row["transfer"] == "chunked":
        out, rest = b"", body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            size = int(size.split(b";")[0] or b"0", 16)
            out, rest = out + rest[:size], rest[size + 2 :]
            if size == 0:
                break
        body = out
    if row["transfer"] == "gzip":
        body = zlib.decompressobj(31).decompress(body)
    return body


def charsets(run, truth, folder):
    """Whether the words of an extracted text are words of the page, decoded here by its true charset."""
    print("## Charset\n")
    archives, groups, worst = {}, collections.defaultdict(list), []
    empty = collections.Counter()
    for document in run.documents("--stage", "extract_text"):
        row = truth[document["id"]]
        if not document["text"].strip():
            empty[row["kind"]] += 1
            continue
        name = row["warc"]
        archives.setdefault(name, open(folder / name, "rb"))
        page = body_of(archives[name], row).decode(row["charset_actual"] or "utf-8", "replace")
        page = re.sub(r"(?is)<(script|style)\b.*?</\1>", " ", page)
        letters = html.unescape(re.sub(r"(?s)<[^>]*>", " ", page))
        known = set(re.findall(r"\w+", letters)) | set(re.findall(r"\w+", re.sub(r"(?s)<[^>]*>", "", page)))
        words = re.findall(r"\w+", document["text"])
        right = sum(word in known for word in words) / len(words) if words else 1.0
        declared = "declared" if row["charset_http"] or row["charset_meta"] else "not declared"
        for said in (row["charset_http"], row["charset_meta"]):
            if said and said.lower() != row["charset_actual"].lower():
                declared = "declared wrong in part"
        groups[row["charset_actual"], declared].append((right, "\ufffd" in document["text"]))
        if right < 0.9:
            worst.append((right, row["charset_actual"], row["charset_http"], row["charset_meta"], row["kind"], row["uri"]))
    rows = []
    for (charset, declared), found in sorted(groups.items()):
        rows.append([charset, declared, len(found), f"{sum(r for r, _ in found) / len(found):.4f}",
                     sum(r < 0.9 for r, _ in found), sum(bad for _, bad in found)])
    table(["true charset", "", "pages", "words that are the page's", "pages below 0.9", "pages with U+FFFD"], rows)
    print(f"Pages without any text: {sum(empty.values())} {dict(empty) if empty else ''}\n")
    for entry in sorted(worst)[:20]:
        print("- %.2f %s (HTTP `%s`, meta `%s`) %s %s" % entry)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("data", type=Path, help="folder with the archives and truth.tsv.gz")
    parser.add_argument("--gristmill", default="gristmill", help="the command")
    arguments = parser.parse_args()
    run = Run(arguments.run, arguments.gristmill)
    truth = read_truth(arguments.data)
    rejects = run.documents("--rejected")
    fate = {document["id"]: (document["stage"], document["reason"]) for document in rejects}
    funnel(run, truth, fate)
    expectations(run, truth, fate)
    duplicates(run, truth, fate)
    languages(run, truth, fate, rejects)
    charsets(run, truth, arguments.data)


if __name__ == "__main__":
    main()
