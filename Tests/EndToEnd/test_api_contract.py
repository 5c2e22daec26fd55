"""openapi.yaml is valid, is what the daemon serves, and is true: schemathesis with all checks finds nothing."""
import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

from conftest import ROOT
from daemon_process import wait_until
from expectations import problem

HERE = Path(__file__).resolve().parent
CONTRACT = ROOT / "openapi.yaml"
EXAMPLES = 40  # for each operation and kind of data
SCHEMATHESIS_LIMIT = 420  # seconds


@pytest.fixture(scope="module")
def contract() -> dict:
    return yaml.safe_load(CONTRACT.read_text())


def test_the_contract_is_valid_openapi(contract):
    validate(contract)
    assert contract["openapi"].startswith("3.1")


def test_the_contract_is_served(daemon, contract):
    answer = daemon.get("/openapi.yaml")
    assert answer.status == 200 and answer.body == CONTRACT.read_bytes()
    assert answer.headers["Content-Type"].startswith("application/yaml")


def test_every_path_has_the_methods_of_the_contract_and_no_others(daemon, contract):
    for template, item in contract["paths"].items():
        path = template.replace("{domain}", "a.example").replace("{id}", "0" * 26).replace("{queue_id}", "A1")
        methods = {method.upper() for method in item if method in ("get", "put", "post", "delete", "patch")}
        methods |= {"HEAD"} if "GET" in methods else set()
        answer = daemon.request("PATCH", path)
        problem(answer, 405)
        assert {name.strip() for name in answer.headers["Allow"].split(",")} == methods, path


def test_head_is_get_without_the_body(daemon):
    for path in ("/livez", "/readyz", "/status", "/relay-domains", "/policy", "/openapi.yaml", "/"):
        get, head = daemon.get(path), daemon.request("HEAD", path)
        assert (head.status, head.body) == (get.status, b""), path
        # A counter may have gained a digit in between only in /status and /policy, whose bodies differ by request anyway.
        assert head.headers["Content-Type"] == get.headers["Content-Type"], path
        if path not in ("/status", "/policy"):
            assert head.headers["Content-Length"] == get.headers["Content-Length"], path


def strict(contract: dict) -> dict:
    """The contract with every answer closed: a field that it does not name is an error, though clients must bear with new ones."""
    result = copy.deepcopy(contract)
    for schema in _objects([result["components"]["schemas"], result["paths"]]):
        schema.setdefault("additionalProperties", False)
    result["components"]["schemas"]["Problem"]["additionalProperties"] = True  # RFC 9457, section 3.2: extensions
    return result


def _objects(node):
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield node
        for child in node.values():
            yield from _objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from _objects(child)


@pytest.mark.timeout(SCHEMATHESIS_LIMIT + 60)
def test_schemathesis_finds_nothing(make_daemon, sink, contract, directory):
    # A slow flush that must wait would hold `wait` up for minutes.
    daemon = make_daemon(slow_flush_interval="0", minimal_backoff_time="1s", maximal_backoff_time="1s")
    populate(daemon, sink)
    file = directory / "strict.yaml"
    file.write_text(yaml.safe_dump(strict(contract), sort_keys=False))
    # The same cases each time, so that a commit is judged by what it changed; E2E_SEED looks elsewhere.
    seed = os.environ.get("E2E_SEED", "42")
    print(f"seed {seed}; look elsewhere with E2E_SEED=n")

    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"), "run", str(file)]
    command += ["--url", f"http://127.0.0.1:{daemon.http[1]}", "--seed", seed, "--max-examples", str(EXAMPLES)]
    environment = os.environ | {
        "PYTHONPATH": str(HERE), "HYPOTHESIS_STORAGE_DIRECTORY": str(directory / "hypothesis"), "PYTHONDONTWRITEBYTECODE": "1",
    }
    result = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=SCHEMATHESIS_LIMIT, check=False)

    assert result.returncode == 0, result.stdout[-12000:] + result.stderr[-3000:]
    print(*[line for line in result.stdout.splitlines() if "generated" in line or "Tested:" in line])
    assert daemon.is_running and daemon.get("/readyz").status == 200


def populate(daemon, sink) -> None:
    """Something of everything, so that lists are not empty: relay domains, mail that waits, a flush, a kept report."""
    daemon.relay("customer.example", sink.next_hop)
    daemon.relay("xn--bcher-kva.example", sink.next_hop, comment="a name with a U-label", owner="tests")
    for n in range(3):
        daemon.send(f"user{n}@customer.example", f"user{n}@xn--bcher-kva.example")
    daemon.send("gone@customer.example")
    wait_until(lambda: daemon.waiting("customer.example") == 4, 10, "four messages recorded")
    daemon.flush("customer.example")
    sink.behaviour.recipients = {f"user{n}@customer.example": "450 4.2.1 later" for n in range(3)}
    sink.behaviour.recipients["gone@customer.example"] = "550 5.1.1 gone"
    sink.start()
    daemon.flush("customer.example", note="schemathesis")
    wait_until(lambda: daemon.get("/bounces").json()["bounces"], 10, "a kept report")
    sink.stop()


class TestByHand:
    """What schemathesis cannot know."""

    def test_pages_are_whole_and_in_order(self, daemon):
        names = [f"d{n:03}.example" for n in range(25)]
        rows = [{"domain": name, "next_hop": "[192.0.2.1]:25"} for name in reversed(names)]
        answer = daemon.put("/relay-domains", {"relay_domains": rows}, owner="pages")
        assert answer.status == 200 and answer.json()["created"] == names, answer

        for path, key, field in (("/relay-domains", "relay_domains", "domain"), ("/domains", "domains", "domain")):
            seen, query = [], {"limit": 7}
            for _ in range(10):
                answer = daemon.get(path, **query)
                page = answer.json()
                seen += [row[field] for row in page[key]]
                if page["next_cursor"] is None:
                    assert "Link" not in answer.headers
                    break
                link = answer.headers["Link"]
                assert link.endswith('; rel="next"') and daemon.get(link[1:link.index(">")]).json() == daemon.get(path, **query | {"cursor": page["next_cursor"]}).json()
                query["cursor"] = page["next_cursor"]
            assert seen == names, path

    def test_one_owner_s_relay_domains_are_replaced_all_or_nothing(self, daemon):
        def rows(*names, hop="[192.0.2.1]:25"):
            return {"relay_domains": [{"domain": name, "next_hop": hop} for name in names]}

        daemon.relay("others.example", "[192.0.2.9]:25", owner="other")
        answer = daemon.put("/relay-domains", rows("a.example", "b.example"), owner="me")
        assert answer.json() == {"dry_run": False, "created": ["a.example", "b.example"], "updated": [], "removed": [], "unchanged": 0}

        dry = daemon.put("/relay-domains", rows("b.example", "c.example"), owner="me", dry_run="true")
        expected = {"created": ["c.example"], "updated": [], "removed": ["a.example"], "unchanged": 1}
        assert dry.json() == expected | {"dry_run": True}
        assert daemon.get("/relay-domains/a.example").status == 200

        problem(daemon.put("/relay-domains", rows("b.example"), owner="me", max_delete=0), 409)
        problem(daemon.put("/relay-domains", rows("others.example"), owner="me"), 409)
        problem(daemon.put("/relay-domains", rows("b.example", "B.example"), owner="me"), 400, "#/relay_domains/1/domain")
        problem(daemon.put("/relay-domains", rows("b.example", "-.example"), owner="me"), 400, "#/relay_domains/1/domain")
        assert daemon.put("/relay-domains", rows("b.example", "c.example"), owner="me", max_delete=1).json() == expected | {"dry_run": False}
        assert [row["domain"] for row in daemon.get("/relay-domains").json()["relay_domains"]] == ["b.example", "c.example", "others.example"]

    def test_a_lost_race_is_412(self, daemon):
        body = {"next_hop": "[192.0.2.1]:25"}

        def put(body, **headers):
            return daemon.request("PUT", "/relay-domains/a.example", body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

        problem(put(body, If_Match="*"), 412)
        created = put(body, If_None_Match="*")
        assert created.status == 201 and created.headers["Location"] == "/relay-domains/a.example"
        problem(put(body, If_None_Match="*"), 412)
        first = created.headers["ETag"]
        same = put(body, If_Match=first)
        assert same.status == 200 and same.headers["ETag"] == first and same.json() == created.json()
        changed = put(body | {"comment": "new"}, If_Match=first)
        assert changed.status == 200 and changed.headers["ETag"] != first and changed.json()["version"] == created.json()["version"] + 1
        problem(put(body, If_Match=first), 412)
        problem(daemon.request("DELETE", "/relay-domains/a.example", headers={"If-Match": first}), 412)
        current = {"If-None-Match": changed.headers["ETag"]}
        assert daemon.request("GET", "/relay-domains/a.example", headers=current).status == 304
        assert daemon.request("DELETE", "/relay-domains/a.example", headers={"If-Match": changed.headers["ETag"]}).status == 204
        problem(daemon.get("/relay-domains/a.example"), 404)

    def test_status_is_304_until_something_changes(self, daemon):
        answers = [daemon.get("/status")]

        def is_not_modified():
            answer = daemon.request("GET", "/status", headers={"If-None-Match": answers[-1].headers["ETag"]})
            if answer.status == 304:
                return True
            # The start's own work, the first reconcile say, may still show: then the answer is another one.
            assert answer.status == 200 and answer.json() != answers[-1].json()
            answers.append(answer)

        wait_until(is_not_modified, 10, "a status that stays")
        first = answers[-1]
        etag = {"If-None-Match": first.headers["ETag"]}
        daemon.relay("a.example", "[192.0.2.1]:25")
        changed = daemon.request("GET", "/status", headers=etag)
        assert changed.status == 200 and changed.json()["relay_domains"] == first.json()["relay_domains"] + 1

    def test_a_relay_domain_with_mail_is_not_removed(self, daemon, sink):
        daemon.relay("a.example", sink.next_hop)
        daemon.send("user@a.example")
        wait_until(lambda: daemon.waiting("a.example") == 1, 10, "the message's record")

        assert "1" in problem(daemon.delete("/relay-domains/a.example"), 409)["detail"]
        problem(daemon.put("/relay-domains", {"relay_domains": []}, owner=""), 400, "query:owner")
        assert daemon.delete("/relay-domains/a.example", force="true").status == 204

    def test_draining_takes_no_new_mail_and_still_delivers(self, daemon, sink):
        import smtplib

        daemon.relay("a.example", sink.next_hop)
        daemon.send("user@a.example")
        wait_until(lambda: daemon.waiting("a.example") == 1, 10, "the message's record")
        daemon.relay("a.example", sink.next_hop, state="draining")

        with pytest.raises(smtplib.SMTPRecipientsRefused):
            daemon.send("user@a.example")
        assert daemon.get("/domains/a.example").json()["state"] == "draining"
        sink.start()
        assert daemon.flush("a.example")["delivered"] == 1

    def test_u_labels_are_accepted_and_a_labels_answered(self, daemon, sink):
        answer = daemon.put("/relay-domains/B%C3%BCcher.example", {"next_hop": sink.next_hop})
        assert answer.status == 201 and answer.json()["domain"] == "xn--bcher-kva.example", answer
        assert daemon.get("/domains/xn--bcher-kva.example").json()["domain_unicode"] == "bücher.example"
        assert daemon.post("/etrn/b%C3%BCcher.example").json()["domain"] == "xn--bcher-kva.example"

    def test_the_unix_socket_serves_root_and_its_own_user(self, daemon):
        answer = daemon.request("GET", "/status", unix=True)
        assert answer.status == 200
        requested = daemon.request("POST", "/etrn/a.example", unix=True, query={"dry_run": "true"}).json()["requested_by"]
        assert requested == f"unix:{os.getuid()}"
        assert daemon.request("GET", "/status", unix=True, headers={"Host": "any.example"}).status == 200

    def test_tcp_serves_only_the_trusted_networks(self, make_daemon):
        daemon = make_daemon(http_trusted_networks="192.0.2.0/24")
        problem(daemon.get("/status"), 403)
        problem(daemon.post("/etrn/a.example"), 403)
        assert daemon.get("/livez").status == 200
        assert daemon.request("GET", "/status", unix=True).status == 200
