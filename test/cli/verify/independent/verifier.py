"""A second verifier of a sealed draw, written from the specification of the formats alone.

    python3 verifier.py --seal-vkey KEY --seal FILE [--witness KEY] [--beacon FILE]
        [--result FILE] [--receipt FILE] [--proof FILE] [--other-seal FILE] [--book AGENCY=FILE]

It prints a line for each problem. Exit code 0: everything that was given fits; 1: something does
not. With --batch it reads a JSON list of arguments from each line of its input, and answers each
with a JSON line {"code", "problems"}.
"""

import argparse
import json
import sys

import formats
from formats import Bad, need

# Python counts the depth of JSON as recursion.
sys.setrecursionlimit(10_000)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Bad(error.strerror) from None


class Check:
    """One verification: collects every problem, and each number that a piece tells."""

    def __init__(self, arguments):
        self.problems = []
        self.arguments = arguments
        self.numbers = {}
        self.results = []

    def each(self, name, paths, check):
        for path in paths:
            try:
                check(path)
            except Bad as bad:
                self.problems.append(f"{name} {path}: {bad}")

    def run(self):
        given = self.arguments
        try:
            self.operator = formats.vkey(given.seal_vkey, formats.OPERATOR)
            self.witnesses = [formats.vkey(key, formats.WITNESS) for key in given.witness]
            self.seal = formats.seal(read(given.seal), self.operator, self.witnesses)
        except Bad as bad:
            return [f"seal {given.seal}: {bad}"]
        if self.seal.source.kind == "fixed":
            self.numbers["seal"] = self.seal.source.value
        self.check_times()
        self.each("other seal", given.other_seal, self.check_other_seal)
        self.each("proof", given.proof, self.check_proof)
        self.check_receipts()
        self.each("beacon", given.beacon, self.check_beacon)
        self.each("result", given.result, self.check_result)
        if len(set(self.numbers.values())) > 1:
            told = ", ".join(f"{path} {number}" for path, number in self.numbers.items())
            self.problems.append(f"different numbers: {told}")
        self.each("book", given.book, self.check_book)
        return self.problems

    def check_times(self):
        if self.seal.source.kind == "drand":
            for witness, time in self.seal.times:
                if time >= formats.time_of(self.seal.source.value):
                    self.problems.append(f"the cosignature of {witness.name} is too late")

    def check_other_seal(self, path):
        other = formats.seal(read(path), self.operator, self.witnesses)
        need(other.draw == self.seal.draw, f"is of draw {other.draw}")
        need(other.root == self.seal.root, "fraud: two seals of one draw")

    def check_proof(self, path):
        entry, index, signed = formats.proof(read(path), self.operator, self.witnesses)
        need(signed.draw == self.seal.draw, f"is of draw {signed.draw}")
        same = signed.root == self.seal.root and signed.size == len(self.seal.entries)
        need(same, "fraud: two seals of one draw")
        need(self.seal.entries[index] == entry, "proves another entry")

    def check_receipts(self):
        of_agency = {}

        def check(path):
            receipt = formats.receipt(read(path), self.operator)
            need(receipt.draw == self.seal.draw, f"is of draw {receipt.draw}")
            book = self.seal.books.get(receipt.agency)
            fits = book is not None and receipt[2:4] == (book.bets, book.digest)
            of_agency.setdefault(receipt.agency, []).append(fits)
            follows = formats.source_of_rule(receipt.rule, self.seal.sealed_at)
            need(follows == self.seal.source, "fraud: the source does not follow from the rule")

        self.each("receipt", self.arguments.receipt, check)
        for agency, fits in of_agency.items():
            if not any(fits):
                self.problems.append(f"fraud: the sealed book of {agency} has no receipt")

    def check_beacon(self, path):
        given = formats.beacon(read(path))
        need(self.seal.source.kind == "drand", "the number comes from no beacon")
        self.numbers[path] = formats.number_of(self.seal.draw, self.seal.source, given)

    def check_result(self, path):
        result = formats.result(read(path), self.operator)
        need(result.draw == self.seal.draw, f"is of draw {result.draw}")
        need(result.root == self.seal.root, "is of another seal")
        drand = self.seal.source.kind == "drand"
        need((result.beacon is not None) == drand, "a beacon there, and not here")
        if drand:
            number = formats.number_of(self.seal.draw, self.seal.source, result.beacon)
            need(result.number == number, f"the beacon's number is {number}")
        sealed = [agency for agency, book in self.seal.books.items() if book is not None]
        told = list(result.winners)
        need(told == sealed or (len(told) == 1 and told[0] in sealed), "winners of other books")
        self.numbers[path] = result.number
        self.results.append(result)

    def check_book(self, argument):
        number, _, path = argument.partition("=")
        agency = formats.agency(number)
        sealed = self.seal.books.get(agency)
        need(sealed is not None, "the seal has no such book")
        data = read(path)
        for k, (mark, expected) in enumerate(zip(formats.marks(data), sealed.marks)):
            end = formats.PIECE * (k + 1)
            need(mark == expected, f"differs in bytes {end - formats.PIECE} to {end}")
        need(len(data) == sealed.size, f"{len(data)} bytes, not {sealed.size}")
        need(formats.sha256(data).hexdigest() == sealed.digest, "differs behind the last mark")
        rows = formats.rows(data)
        need(len(rows) == sealed.bets, f"{len(rows)} bets, not {sealed.bets}")
        for result in self.results:
            winners = sum(row.endswith(f",{result.number}") for row in rows)
            told = result.winners.get(agency, winners)
            need(told == winners, f"{winners} winners, not {told}")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Bad(message)


def parser():
    flags = Parser(allow_abbrev=False)
    flags.add_argument("--seal-vkey", required=True)
    flags.add_argument("--seal", required=True)
    for name in ("witness", "beacon", "result", "receipt", "proof", "other-seal", "book"):
        flags.add_argument(f"--{name}", action="append", default=[])
    return flags


def verify(arguments):
    """The problems of what was given."""
    try:
        return Check(parser().parse_args(arguments)).run()
    except Bad as bad:
        return [str(bad)]


def batch():
    for line in sys.stdin:
        problems = verify(json.loads(line))
        print(json.dumps({"code": 1 if problems else 0, "problems": problems}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--batch"]:
        batch()
    else:
        found = verify(sys.argv[1:])
        print("\n".join(found or ["all that was given fits"]))
        sys.exit(1 if found else 0)
