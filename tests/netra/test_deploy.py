"""The files of deploy/: what they name exists, and they give a process the time that it takes."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.core.management import load_command_class

from apps.chat.limits import MESSAGE_MAX
from netra.servers import LAST_RESPONSES

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
sys.path.insert(0, str(DEPLOY))
import cluster  # noqa: E402 - a program of deploy/

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OWN = ("migrate", "server-1", "server-2", "worker", "beat")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
# A drain, then the last responses, then closing connections: no shorter.
LONGEST_STOP = settings.NETRA_DRAIN_SECONDS + LAST_RESPONSES


def containerfile(word: str) -> list[str]:
    """The arguments of each instruction of this name; lines that go on are joined."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    return [
        line.partition(" ")[2].strip()
        for line in text.splitlines()
        if line.startswith(f"{word} ")
    ]


def command_lines() -> dict[str, list[str]]:
    """Every `manage.py …` of these files."""
    found = {f"compose {name}": SERVICES[name]["command"] for name in OWN}
    found["Containerfile"] = yaml.safe_load(containerfile("CMD")[-1])
    for unit in UNITS:
        (line,) = re.findall(
            r"^ExecStart=.*manage\.py (.+)$", unit.read_text(), re.MULTILINE
        )
        found[unit.name] = line.replace("%i", "8001").split()
    for n, line in enumerate(
        re.findall(
            r"manage\.py ([a-z_]+[^\n`]*)",
            (DEPLOY.parent / "docs" / "deploy.md").read_text(),
        )
    ):
        found[f"deploy.md {n}"] = line.split("#")[0].split("|")[0].split(">")[0].split()
    return found


@pytest.mark.parametrize("where", command_lines())
def test_every_command_and_option_exists(where: str) -> None:
    name, *arguments = command_lines()[where]
    app = next(a for a, folder in commands().items() if name in folder)
    options = load_command_class(app, name).create_parser("manage.py", name)

    unknown = options.parse_known_args(arguments)[1]

    assert unknown == []


def commands() -> dict[str, set[str]]:
    from django.core.management import get_commands

    found: dict[str, set[str]] = {}
    for name, app in get_commands().items():
        found.setdefault(str(app), set()).add(name)
    return found


def test_compose_runs_two_servers_two_workers_beat_and_what_they_need() -> None:
    assert set(SERVICES) == {*OWN, "nginx", "postgres", "redis"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    for name, service in SERVICES.items():
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
        assert "healthcheck" in service or name.startswith("server-"), name
    for name in ("server-1", "server-2", "worker", "beat"):
        assert (
            SERVICES[name]["depends_on"]["migrate"]["condition"]
            == "service_completed_successfully"
        )
    assert set(COMPOSE["volumes"]) == {"netra", "postgres"}


@pytest.mark.parametrize("name", [*OWN, "nginx"])
def test_a_container_is_given_the_time_to_drain(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > LONGEST_STOP


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_given_the_time_to_drain_and_comes_back(unit: Path) -> None:
    said = dict(
        line.split("=", 1)
        for line in unit.read_text().splitlines()
        if "=" in line and line[0] != "#"
    )

    assert int(said["TimeoutStopSec"]) > LONGEST_STOP
    assert said["Restart"] == "always"
    assert said["KillMode"] == "mixed"
    assert said["User"] != "root"
    assert {said["NoNewPrivileges"], said["ProtectHome"], said["PrivateTmp"]} == {
        "true"
    }
    assert said["ProtectSystem"] == "strict"


@pytest.mark.security
def test_the_image_is_not_root_and_holds_no_secret() -> None:
    assert containerfile("FROM") == ["python:3.11-slim"]
    assert containerfile("USER") == ["netra"]
    assert not re.search(
        r"(?i)(secret|password|token|key)\s*=", (DEPLOY / "Containerfile").read_text()
    )
    assert "/healthz" in containerfile("HEALTHCHECK")[0]
    copied = {source for line in containerfile("COPY") for source in line.split()[:-1]}
    assert all((DEPLOY.parent / source).exists() for source in copied), copied
    assert not {".", "var", "tests"} & copied


def test_the_example_of_the_environment_names_only_what_is_read() -> None:
    names = re.findall(
        r"^#?([A-Z_]+)=", (DEPLOY / "netra.env.example").read_text(), re.MULTILINE
    )
    read = "".join(path.read_text() for path in (DEPLOY.parent / "netra").rglob("*.py"))

    assert "NETRA_PUBLIC_URL" in names
    assert [n for n in names if n.startswith("NETRA_") and f'"{n}"' not in read] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is absent")
    text = re.sub(
        r"^ExecStart=\S+",
        f"ExecStart={sys.executable}",
        unit.read_text(),
        flags=re.MULTILINE,
    )
    there = tmp_path / unit.name.replace("@", "@8001")
    there.write_text(text)

    done = subprocess.run(
        [analyse, "verify", "--man=no", str(there)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    said = [
        line
        for line in done.stderr.splitlines()
        if line.startswith((unit.stem, str(tmp_path)))
    ]
    assert said == []


# -- nginx -----------------------------------------------------------------------------


def test_the_proxy_does_what_netra_needs() -> None:
    rules = (DEPLOY / "nginx" / "locations.conf").read_text()
    sockets = rules[rules.index("location /ws/") :].partition("}")[0]
    streams = rules[rules.index("location ~ ^/api") :].partition("}")[0]

    assert f"client_max_body_size {MESSAGE_MAX // 2**20}m;" in rules
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in rules
    assert rules.count("proxy_set_header Upgrade $http_upgrade;") == 1
    for place in (sockets, streams):
        assert "proxy_buffering off;" in place
        assert int(re.findall(r"proxy_read_timeout (\d+)s", place)[0]) > 300
        assert "proxy_set_header" not in place  # it would lose the others


def test_nginx_accepts_what_compose_mounts(tmp_path: Path) -> None:
    if NGINX is None:
        pytest.skip("nginx is absent")
    certificate(tmp_path)
    text = (DEPLOY / "nginx" / "netra.conf").read_text()
    text = re.sub(r"server-[12]", "127.0.0.1", text).replace(
        "/etc/nginx/tls", str(tmp_path)
    )
    text = text.replace(
        "/etc/nginx/netra-locations.conf", str(DEPLOY / "nginx" / "locations.conf")
    )
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};").replace(
        "listen 443 ssl", f"listen 127.0.0.1:{free_port()} ssl"
    )

    assert_accepted(
        f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {text} }}", tmp_path
    )


def test_nginx_accepts_what_the_cluster_writes(tmp_path: Path) -> None:
    if NGINX is None:
        pytest.skip("nginx is absent")

    assert_accepted(
        cluster.nginx_configuration(tmp_path, free_port(), [1, 2]), tmp_path
    )


def assert_accepted(text: str, folder: Path) -> None:
    path = folder / "tested.conf"
    path.write_text(text)
    done = subprocess.run(
        [str(NGINX), "-t", "-e", "stderr", "-p", str(folder), "-c", str(path)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "netra.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "fullchain.pem").write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
    )
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


# -- the cluster, before it starts -----------------------------------------------------


@pytest.mark.parametrize(
    ("check", "variable"),
    [
        (cluster.require_redis, "NETRA_REDIS_URL"),
        (cluster.require_database, "NETRA_DATABASE_URL"),
    ],
)
def test_what_is_not_reachable_is_named_with_its_variable(check, variable: str) -> None:
    scheme = "redis" if variable == "NETRA_REDIS_URL" else "postgres"

    with pytest.raises(
        cluster.NotPossibleError, match=rf"not reachable: .*{variable}.*default"
    ):
        check(f"{scheme}://nobody@127.0.0.1:{free_port()}/0")


def test_the_callers_environment_wins_over_the_clusters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NETRA_REDIS_URL", "redis://elsewhere/1")
    monkeypatch.delenv("NETRA_DATABASE_URL", raising=False)

    made = cluster.environment(8123)

    assert made["NETRA_REDIS_URL"] == "redis://elsewhere/1"
    assert made["NETRA_DATABASE_URL"] == cluster.DATABASE
    assert made["NETRA_PUBLIC_URL"] == "http://127.0.0.1:8123"
