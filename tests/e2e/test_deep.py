"""`--deep`: how often algorithms are used, by whom; what a program does on purpose is counted to the call."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from tests.support.gates import require_tool
from tests.support.sources import ROOT
from tests.support.workloads import DEADLINE_S, Tracer, of_kind

pytestmark = pytest.mark.kernel

SOURCE = """
#define OPENSSL_API_COMPAT 10100
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static void cipher(const EVP_CIPHER *which, int times)
{
	unsigned char key[64] = "key", iv[16] = "iv";
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	EVP_CipherInit_ex(context, which, NULL, key, iv, 1);
	for (int i = 1; i < times; i++) /* the same again */
		EVP_CipherInit_ex(context, NULL, NULL, key, iv, 1);
	EVP_CIPHER_CTX_free(context);
}

static void digest(const EVP_MD *which, int times)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	for (int i = 0; i < times; i++)
		EVP_DigestInit_ex(context, which, NULL);
	EVP_MD_CTX_free(context);
}

static void derive(void)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
	EVP_PKEY *key = NULL;

	EVP_PKEY_keygen_init(context);
	EVP_PKEY_keygen(context, &key);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(key);
}

int main(void)
{
	EVP_CIPHER *fetched = EVP_CIPHER_fetch(NULL, "AES-128-CBC-CTS", NULL);
	EVP_CIPHER_free(EVP_CIPHER_fetch(NULL, "ARIA-256-GCM", NULL)); /* fetched, and not used */
	cipher(EVP_aes_256_gcm(), 1009);
	cipher(fetched, 13);
	digest(EVP_sha384(), 2003);
	digest(EVP_md5(), 1);
	derive();
	puts("done");
	fflush(stdout);
	getchar();
	return 0;
}
"""
USED = {
    ("EVP_CipherInit_ex", "AES-256-GCM"): 1009,
    ("EVP_CipherInit_ex", "AES-128-CBC-CTS"): 13,
    ("EVP_DigestInit_ex", "SHA384"): 2003,
    ("EVP_DigestInit_ex", "MD5"): 1,
    ("EVP_PKEY_keygen", "X25519"): 1,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("deep") / "program"
    command = [require_tool("gcc"), "-x", "c", "-", "-o", str(path), "-lcrypto"]
    subprocess.run(command, input=SOURCE, text=True, check=True, timeout=DEADLINE_S)
    return str(path)


def start(program):
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "done\n"
    return process


def own_use(events):
    """What the application itself used, in all: several events for one are parts."""
    found = Counter()
    for event in of_kind(events, "api_count"):
        if event["origin"] == "application":
            found[event["function_name"], event["algorithm"]] += event["count"]
    return found


@pytest.mark.parametrize("ends", ["before", "after"])
def test_deep_counts_are_those_of_the_program(program, ends):
    """To the call, whether the process ends before the tracer or after it; with no event for what is fetched only."""
    with Tracer("--deep", "--no-redact") as tracer:
        process = start(program)
        if ends == "before":
            process.communicate("\n", timeout=DEADLINE_S)
        assert tracer.stop() == 130
        events = tracer.events(process.pid)
        if ends == "after":
            process.communicate("\n", timeout=DEADLINE_S)
    assert own_use(events) == USED
    counts = of_kind(events, "api_count")
    assert len(counts) < 50
    assert not [event for event in counts if event["algorithm"] and "ARIA" in event["algorithm"]]
    inner = [event for event in counts if event["origin"] == "library"]
    assert {event["caller"] for event in inner} == {event["library"] for event in inner}
    assert tracer.stderr[-1].endswith(", 0 lost")


def test_deep_is_asked_for(program):
    """Without it nothing is counted, and nothing is attached."""
    with Tracer("--no-redact") as tracer:
        start(program).communicate("\n", timeout=DEADLINE_S)
        assert tracer.stop() == 130
        assert of_kind(tracer.events(), "api_count") == []


def test_deep_counts_of_one_image_do_not_reach_the_next(program):
    """Exec: the counts so far are those of the program that ran, and told of it."""
    code = f"""
    import hashlib, os
    for _ in range(7):
        hashlib.new("md5", usedforsecurity=False)
    os.execv({program!r}, ["program"])
    """
    with Tracer("--deep", "--no-redact") as tracer:
        process = subprocess.Popen(
            ["/usr/bin/python3", "-I", "-c", textwrap.dedent(code)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        process.communicate("\n", timeout=DEADLINE_S)
        assert tracer.stop() == 130
        events = tracer.events(process.pid)
    first = [event for event in of_kind(events, "api_count") if "python" in event["exe"]]
    second = [event for event in of_kind(events, "api_count") if event["exe"] == program]
    assert (
        sum(event["count"] for event in first if event["algorithm"] == "MD5" and event["origin"] == "application") >= 7
    )
    assert own_use(second) == USED


def test_deep_profile_has_a_row_for_each_algorithm(program):
    """The document sums up."""
    command = [sys.executable, "-m", "tracer", "run", "--deep", "--", program]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=DEADLINE_S, check=True, cwd=ROOT)
    document = json.loads(done.stdout.partition("done\n")[2] or done.stdout)
    rows = {(row["function_name"], row["algorithm"]): row["count"] for row in document["algorithms"]
            if row["origin"] == "application"}  # fmt: skip
    assert rows == USED
