"""The embedded PostgreSQL outlives what a machine does to it, and leaves nothing behind."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from hub.database import postmaster, unprivileged
from hub.database.embedded import EmbeddedPostgres
from hub.database.runfolder import private_folder, socket_folder
from hub.database.session import address
from hub.errors import Corrupt, HubError, Refused, Transient

PASSWORD = "Zwiebel-4711-im-Keller"
ROOT = Path(__file__).parents[2]

# Another process of the hub: serves until its standard input ends, and says who serves.
OTHER_HUB = f"""
import sys
from pathlib import Path
from hub.database import postmaster
from hub.database.embedded import EmbeddedPostgres
home = Path(sys.argv[1])
server = EmbeddedPostgres(home / "postgres", home / "run", {PASSWORD!r})
with server.serving():
    print(postmaster.running(server.data).pid, flush=True)
    sys.stdin.read()
"""


def embedded(home: Path, **more: int) -> EmbeddedPostgres:
    return EmbeddedPostgres(home / "postgres", home / "run", PASSWORD, **more)


def other_hub(home: Path, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", OTHER_HUB, str(home)],
        env={"PYTHONPATH": str(ROOT), "PATH": unprivileged.PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pid_of(server: EmbeddedPostgres) -> int:
    found = postmaster.running(server.data)
    assert found is not None
    return found.pid


def connect(server: EmbeddedPostgres) -> psycopg.Connection:
    return psycopg.connect(address(server.url()), autocommit=True)


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("pg") / "hub home"  # short: a socket's path has 107 bytes at most
    place.mkdir(mode=0o700)
    yield place
    postmaster.end_orphans(place / "postgres", 10)


def test_it_starts_where_nothing_was_and_leaves_no_process(home: Path) -> None:
    server = embedded(home)
    with server.serving() as url, psycopg.connect(address(url)) as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    assert postmaster.processes(server.data) == set()
    assert not (server.data / postmaster.PID_FILE).exists()


def test_what_was_committed_is_there_after_the_next_start(home: Path) -> None:
    server = embedded(home)
    with server.serving(), connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with server.serving(), connect(server) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_who_leaves_last_stops_it(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        with embedded(home).serving():
            first = pid_of(server)
        assert pid_of(server) == first
        with connect(server) as connection:
            connection.execute("SELECT 1")
    assert postmaster.running(server.data) is None


@pytest.mark.parametrize(
    "name",
    [
        "Kreis Peine",
        'it\'s "quoted" $HOME `id` %s',
        "Prüfung, mit Komma",
        "/".join(["ein-langer-ordner-name-" + "x" * 30] * 4),
    ],
    ids=["space", "quotes", "umlaut and comma", "long"],
)
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    home.mkdir(parents=True)
    server = embedded(home)
    with server.serving(), connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        sockets = socket_folder(server.run)
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert sockets.parent == server.run or not sockets.exists()


def test_a_killed_hub_leaves_the_server_to_the_next_one(home: Path) -> None:
    with other_hub(home) as other:
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        other.kill()
    server = embedded(home)
    assert postmaster.processes(server.data)
    with server.serving():
        assert pid_of(server) == pid
    assert postmaster.processes(server.data) == set()


def test_a_killed_server_comes_back_with_every_commit(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        with connect(server) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        first = pid_of(server)
        os.kill(first, signal.SIGKILL)
        with embedded(home).serving(), connect(server) as connection:
            assert pid_of(server) != first
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_everything_killed_at_once_comes_back(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        for pid in postmaster.processes(server.data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with embedded(home).serving(), connect(server) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_orphan_backend_at_work_is_ended_before_a_new_server_starts(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        connection = connect(server)
        backend = connection.info.backend_pid

        def work() -> None:
            with suppress(psycopg.OperationalError):
                connection.execute("SELECT count(*) FROM generate_series(1, 1000000000000)")

        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.3)
        os.kill(pid_of(server), signal.SIGKILL)
        time.sleep(0.3)
        assert backend in postmaster.processes(server.data)
        with embedded(home).serving(), connect(server) as fresh:
            assert fresh.execute("SELECT 1").fetchone() == (1,)
            assert backend not in postmaster.processes(server.data)
        worker.join()
        connection.close()


def test_a_pid_file_that_names_a_strangers_process_is_stale(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        whole = (server.data / postmaster.PID_FILE).read_text(encoding="utf-8").splitlines()
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        text = "\n".join([str(sleeper.pid), *whole[1:]]) + "\n"
        (server.data / postmaster.PID_FILE).write_text(text, encoding="utf-8")
        (server.run / "postgres" / ".s.PGSQL.5432.lock").write_text(text, encoding="utf-8")
        with server.serving():
            assert pid_of(server) != sleeper.pid
        assert sleeper.poll() is None
        sleeper.kill()


def test_another_server_of_postgres_under_a_reused_pid_is_left_alone(home: Path, tmp_path: Path) -> None:
    server, neighbour = embedded(home), embedded(tmp_path / "neighbour")
    with server.serving():
        whole = (server.data / postmaster.PID_FILE).read_text(encoding="utf-8").splitlines()
    with neighbour.serving():
        pid = pid_of(neighbour)
        (server.data / postmaster.PID_FILE).write_text("\n".join([str(pid), *whole[1:]]), encoding="utf-8")
        with server.serving():
            assert pid_of(server) != pid
        assert pid_of(neighbour) == pid


@pytest.mark.parametrize("content", ["", "nonsense\n", "-1\n\n\nx\n"])
def test_a_broken_pid_file_does_not_matter(home: Path, content: str) -> None:
    server = embedded(home)
    with server.serving():
        pass
    (server.data / postmaster.PID_FILE).write_text(content, encoding="utf-8")
    with server.serving(), connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_set_up_that_died_half_way_is_begun_anew(home: Path) -> None:
    server = embedded(home)
    half = home / "postgres.new"
    (half / "base").mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n", encoding="ascii")
    with server.serving(), connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not half.exists()


def test_processes_that_start_it_at_once_share_one_server(home: Path) -> None:
    others = [other_hub(home) for _ in range(4)]
    pids = {int(other.stdout.readline()) for other in others if other.stdout is not None}
    for other in others:
        _, said = other.communicate()
        assert (other.returncode, said) == (0, "")
    assert len(pids) == 1
    assert postmaster.processes(home / "postgres") == set()


def test_no_mode_and_no_owner_outside_its_home_changes(home: Path) -> None:
    def facts() -> dict[Path, tuple[int, int, int]]:
        found = {place: place.stat() for place in (home, *home.parents)}
        return {place: (f.st_mode, f.st_uid, f.st_gid) for place, f in found.items()}

    before = facts()
    server = embedded(home)
    with server.serving():
        during = facts()
    assert before == during == facts()
    for place in (server.data, server.run, server.run / "postgres"):
        assert place.stat().st_mode & 0o077 == 0


def listening(server: EmbeddedPostgres) -> set[str]:
    """Find the TCP sockets on which a server listens, as the kernel lists them."""
    sockets = set()
    for pid in postmaster.processes(server.data):
        with suppress(FileNotFoundError):  # a process of the server that has just ended
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    sockets.add(str(handle.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1])
    return found


def test_it_listens_on_no_network_unless_asked(home: Path, free_port: int) -> None:
    quiet = embedded(home)
    with quiet.serving():
        assert listening(quiet) == set()
    asked = embedded(home, port=free_port)
    with asked.serving():
        assert listening(asked) == {f"0100007F:{free_port:04X}"}
        with psycopg.connect(address(asked.url(tcp=True))) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_nobody_gets_in_without_the_password(home: Path) -> None:
    server = embedded(home)
    with server.serving() as url:
        for wrong in ("", "falsch"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(address(url.set(password=wrong)))
        with pytest.raises(Corrupt) as caught, EmbeddedPostgres(server.data, server.run, "falsch").serving():
            pass
    assert caught.value.code == "database.password"
    assert "falsch" not in str(caught.value)


def test_the_password_is_in_no_file_and_in_no_list_of_processes(home: Path) -> None:
    server = embedded(home)
    seen = bytearray()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.extend(entry.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with server.serving():
            pid = pid_of(server)
            seen.extend(Path(f"/proc/{pid}/environ").read_bytes())
    finally:
        done.set()
        watcher.join()
    assert b"initdb" in seen
    assert PASSWORD.encode() not in seen
    for file in home.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file.name
    assert repr(server) == f"EmbeddedPostgres({str(server.data)!r})"


def test_no_value_of_a_failed_statement_reaches_the_servers_log(home: Path) -> None:
    server = embedded(home)
    with server.serving(), connect(server) as connection:
        connection.execute("CREATE TABLE person (name text PRIMARY KEY, age int CHECK (age > 0))")
        connection.execute("INSERT INTO person VALUES ('Kanarienvogel', 1)")
        for statement in (
            "INSERT INTO person VALUES ('Kanarienvogel', 1)",
            "INSERT INTO person VALUES ('Kanarienvogel2', -1)",
            "SELECT 'Kanarienvogel'::int",
            "SELECT Kanarienvogel",
            "COPY person FROM '/Kanarienvogel'",
            "DO $$ BEGIN RAISE WARNING 'Kanarienvogel'; END $$",
        ):
            with suppress(psycopg.Error):
                connection.execute(statement)
        with suppress(psycopg.Error):
            connection.execute("SELECT %s::int / 0", ["Kanarienvogel"])
        connection.execute("CHECKPOINT")
    log = server.log.read_text(encoding="utf-8")
    assert "ready to accept connections" in log
    assert "kanarienvogel" not in log.lower()
    assert server.log.stat().st_mode & 0o077 == 0


def test_an_ordinary_user_can_run_it(tmp_path: Path) -> None:
    """As root: under another user id, with one right over files only where Python is out of its reach."""
    home = tmp_path / "ordinary"
    home.mkdir(mode=0o700)
    prefix: tuple[str, ...] = ()
    owner = os.geteuid()
    if owner == 0:
        owner = stranger = max(entry.pw_uid for entry in pwd.getpwall())
        os.chown(home, stranger, stranger)
        prefix = (
            unprivileged.tool("setpriv"),
            f"--reuid={stranger}",
            f"--regid={stranger}",
            "--clear-groups",
        )
        trial = subprocess.run(
            [*prefix, sys.executable, "-c", "import psycopg, sqlalchemy"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if trial.returncode != 0 or tmp_path.stat().st_mode & 0o005 != 0o005:
            prefix += ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")
    with other_hub(home, prefix) as other:
        assert other.stdout is not None
        assert other.stderr is not None
        first = other.stdout.readline()
        assert first, other.stderr.read()
        status = Path(f"/proc/{int(first)}/status").read_text(encoding="ascii")
        assert f"Uid:\t{owner}\t{owner}" in status
        assert (home / "postgres" / "PG_VERSION").stat().st_uid == owner
        _, said = other.communicate()
        assert (other.returncode, said) == (0, "")
    assert postmaster.processes(home / "postgres") == set()


def test_root_falls_back_to_nobody_and_back_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = embedded(home)
    ways = unprivileged._ways()
    if os.geteuid() != 0:
        assert ways == [unprivileged.Launcher((), os.geteuid())]
        return
    assert [way.owner for way in ways] == [0, unprivileged.NOBODY]
    for way in (ways[1], ways[0], ways[1]):
        monkeypatch.setattr(unprivileged, "_ways", lambda way=way: [way])
        with server.serving(), connect(server) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            assert (server.data / "base").stat().st_uid == way.owner
            assert f"Uid:\t{way.owner}\t" in Path(f"/proc/{pid_of(server)}/status").read_text(
                encoding="ascii"
            )
    with server.serving(), connect(server) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (3,)
    assert home.stat().st_uid == 0


def refusal(server: EmbeddedPostgres) -> HubError:
    with pytest.raises(HubError) as caught, server.serving(patience=0.2):
        pass
    assert caught.value.message
    assert caught.value.remedy
    assert postmaster.processes(server.data) == set()
    return caught.value


def test_a_user_without_a_name_is_given_one_inside_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    (way,) = unprivileged._ways()
    assert way.prefix[1:3] == ("--user", f"--map-user={unprivileged.NOBODY}")
    assert way.owner == 987654


def test_who_finds_no_way_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "_ways", list)
    assert refusal(embedded(home)).code == "database.user"
    assert not (home / "postgres").exists()


def test_a_full_disk_is_told_before_anything_is_made(home: Path) -> None:
    error = refusal(embedded(home, free_bytes=10**18))
    assert (error.code, type(error)) == ("disk.space", Refused)
    assert not (home / "postgres").exists()


def test_a_taken_port_is_told(home: Path, tmp_path: Path, free_port: int) -> None:
    with embedded(tmp_path / "first", port=free_port).serving():
        assert refusal(embedded(home, port=free_port)).code == "database.port"


def test_a_folder_that_holds_something_else_is_left_alone(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "letter.txt").write_text("dear", encoding="ascii")
    assert refusal(embedded(home)).code == "database.folder"
    assert (home / "postgres" / "letter.txt").read_text(encoding="ascii") == "dear"


def test_missing_programs_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "programs", unprivileged.programs.__wrapped__)
    monkeypatch.setattr(unprivileged, "find_spec", lambda _name: None)
    with pytest.raises(Refused) as caught:
        unprivileged.launcher(home)
    assert caught.value.code == "database.programs"


def test_programs_of_another_machine_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / unprivileged.WHEEL / unprivileged.RELEASE / "bin"
    folder.mkdir(parents=True)
    (tmp_path / unprivileged.WHEEL / "__init__.py").touch()
    for name in ("postgres", "initdb"):
        (folder / name).write_bytes(b"\x7fELF of another world")
        (folder / name).chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refused) as caught:
        unprivileged.programs.__wrapped__()
    assert caught.value.code == "database.programs"


def test_a_start_that_another_process_holds_up_ends_in_time(home: Path) -> None:
    private_folder(home / "run")
    server = embedded(home)
    with server._alone(1):
        error = refusal(server)
    assert (error.code, type(error)) == ("database.busy", Transient)


def test_a_server_that_dies_at_start_is_told_with_its_log(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        pass
    (server.data / "postgresql.auto.conf").write_text("max_connections = 'many'\n", encoding="ascii")
    error = refusal(server)
    assert error.code == "database.away"
    assert str(server.log) in error.message


def test_a_socket_folder_of_another_owner_or_kind_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(target)
    wide = tmp_path / "wide"
    wide.mkdir()
    wide.chmod(0o755)
    for place in (tmp_path / "link", wide):
        with pytest.raises(Refused) as caught:
            private_folder(place)
        assert caught.value.code == "database.folder"
    assert wide.stat().st_mode & 0o777 == 0o755


def test_a_long_log_is_put_aside(home: Path) -> None:
    server = embedded(home)
    with server.serving():
        pass
    with server.log.open("ab") as log:
        log.truncate(6_000_000)
    with server.serving():
        assert server.log.stat().st_size < 10_000
    assert server.log.with_suffix(".log.1").exists()


def test_a_home_that_moved_is_found_again(home: Path, tmp_path: Path) -> None:
    with embedded(home).serving():
        pass
    moved = tmp_path / "elsewhere"
    shutil.move(home, moved)
    with embedded(moved).serving() as url, psycopg.connect(address(url)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
