import json
from datetime import UTC, datetime, timedelta

import pytest

from cloud.repository import Repository
from cloud.repository.keys import PASSWORD
from cloud.repository.storage import blob
from edge_runtime.errors import InputError, TransferError
from edge_runtime.sealing import SUFFIX
from tests.cloud.repository.made import bundle


@pytest.fixture(params=["folder", "file", "memory"])
def where(request, tmp_path):
    return {
        "folder": str(tmp_path / "repository"),
        "file": f"file://{tmp_path}/repository",
        "memory": f"memory://{tmp_path.name}",
    }[request.param]


@pytest.fixture
def made(tmp_path):
    return Repository.create(tmp_path / "repository", tmp_path / "keys")


def test_versions_are_published_listed_and_read_back(where, tmp_path):
    made = Repository.create(where, tmp_path / "keys")
    first = made.publish(bundle(tmp_path / "a.bundle").path)
    second = made.publish(bundle(tmp_path / "b.bundle", 1).path)
    assert (first.path, second.path) == ("kws/1/rpi4.bundle", "kws/2/rpi4.bundle")
    again = Repository.open(where)
    assert again.releases() == [first, second]
    assert again.read(blob(second.sha256)) == (tmp_path / "b.bundle").read_bytes()
    assert again.read(blob(second.sha256), 2, 5) == (tmp_path / "b.bundle").read_bytes()[2:5]
    assert second.custom["metrics"] == {"accuracy_ppm": 930_000, "n": 10}
    assert list(second.custom["deltas"]) == [first.sha256]
    assert second.custom["deltas"][first.sha256]["length"] < 0.6 * second.bytes
    assert again.verify() == []


def test_a_folder_is_published_as_its_file(made, tmp_path):
    plain = made.publish(bundle(tmp_path / "folder").path)
    assert plain.sha256 == made.publish(bundle(tmp_path / "a.bundle").path, version=1).sha256


def test_targets_share_a_version_until_one_has_it_already(made, tmp_path):
    rpi4 = bundle(tmp_path / "a.bundle").path
    rpi5 = bundle(tmp_path / "b.bundle", target="rpi5").path
    versions = [made.publish(path).version for path in (rpi4, rpi5)]
    versions += [made.publish(bundle(tmp_path / "c.bundle", 1).path).version, made.publish(rpi5).version]
    assert versions == [1, 1, 2, 2]


def test_a_version_never_changes(made, tmp_path):
    first = made.publish(bundle(tmp_path / "a.bundle").path)
    assert made.publish(tmp_path / "a.bundle", version=1) == first
    with pytest.raises(InputError, match="versions never change"):
        made.publish(bundle(tmp_path / "b.bundle", 1).path, version=1)


@pytest.mark.parametrize("name", ["../root", "a/b", "", "x" * 65, ".hidden"])
def test_a_name_that_would_leave_the_folder_is_refused(made, tmp_path, name):
    with pytest.raises(InputError, match="expected letters"):
        made.publish(bundle(tmp_path / "a.bundle").path, target=name or "/")


def test_a_withdrawn_version_is_gone_and_its_blob_after_gc(made, tmp_path):
    first = made.publish(bundle(tmp_path / "a.bundle").path)
    made.publish(bundle(tmp_path / "b.bundle", 1).path)
    made.withdraw("kws", 1)
    assert [each.version for each in made.releases()] == [2]
    assert made.size(blob(first.sha256)) == first.bytes
    files, freed = made.gc()
    assert files >= 1
    assert freed >= first.bytes
    assert made.size(blob(first.sha256)) is None
    assert made.verify() == []
    with pytest.raises(InputError, match="no version 1"):
        made.withdraw("kws", 1)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "kws"])
def test_a_key_is_replaced(made, tmp_path, role):
    made.publish(bundle(tmp_path / "a.bundle").path)
    before = {path.name for path in (tmp_path / "keys").rglob("*.pem")}
    made.rotate(role)
    after = {path.name for path in (tmp_path / "keys").rglob("*.pem")}
    assert len(before - after) == len(after - before) == 1
    assert made.publish(bundle(tmp_path / "b.bundle", 1).path).version == 2
    assert Repository.open(tmp_path / "repository", tmp_path / "keys").verify() == []


def test_rotating_what_is_not_there_names_what_is(made):
    with pytest.raises(InputError, match="there are root"):
        made.rotate("nothing")


def test_without_offline_keys_known_models_go_on_and_new_ones_wait(made, tmp_path):
    made.publish(bundle(tmp_path / "a.bundle").path)
    (tmp_path / "keys" / "offline").rename(tmp_path / "safe")
    assert made.publish(bundle(tmp_path / "b.bundle", 1).path).version == 2
    with pytest.raises(InputError, match="bring them back"):
        made.publish(bundle(tmp_path / "c.bundle", name="other").path)
    assert [each.name for each in made.releases()] == ["kws", "kws"]
    (tmp_path / "safe").rename(tmp_path / "keys" / "offline")
    assert made.publish(tmp_path / "c.bundle").name == "other"


def test_refresh_signs_what_is_half_way_to_its_end(tmp_path):
    made = Repository.create(tmp_path / "repository", tmp_path / "keys")
    made.publish(bundle(tmp_path / "a.bundle").path)
    assert made.refresh() == ["snapshot", "timestamp"]
    made._roles.now = lambda: datetime.now(UTC) + timedelta(days=200)
    assert any("expired" in sentence for sentence in made.verify())
    assert made.refresh() == ["model-kws", "snapshot", "timestamp"]
    assert made.verify() == []


def test_two_of_three_root_keys_must_be_there(tmp_path):
    made = Repository.create(tmp_path / "repository", tmp_path / "keys", roots=3, threshold=2)
    first, second, _ = sorted((tmp_path / "keys/offline").glob("root-*.pem"))
    first.rename(tmp_path / "one")
    made.rotate("snapshot")
    second.rename(tmp_path / "two")
    with pytest.raises(InputError, match="1 of the keys of 'root' are here, and 2 must sign"):
        made.rotate("snapshot")
    assert made.verify() == []


def test_offline_keys_can_have_a_password(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, "correct horse")
    made = Repository.create(tmp_path / "repository", tmp_path / "keys")
    made.rotate("timestamp")
    monkeypatch.setenv(PASSWORD, "wrong")
    with pytest.raises(InputError, match="another password"):
        made.rotate("timestamp")


def test_keys_are_for_their_owner_alone(made, tmp_path):
    for path in (tmp_path / "keys").rglob("*.pem"):
        assert path.stat().st_mode & 0o077 == 0


def test_an_altered_blob_and_a_missing_one_are_named(made, tmp_path):
    first = made.publish(bundle(tmp_path / "a.bundle").path)
    second = made.publish(bundle(tmp_path / "b.bundle", 1).path, delta_from=0)
    path = tmp_path / "repository" / blob(first.sha256)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (tmp_path / "repository" / blob(second.sha256)).unlink()
    wrong = made.verify()
    assert any("kws/1" in sentence and "altered" in sentence for sentence in wrong)
    assert any("kws/2" in sentence and "missing" in sentence for sentence in wrong)


def test_metadata_that_was_put_back_is_not_signed_again(made, tmp_path):
    made.publish(bundle(tmp_path / "a.bundle").path)
    old = (tmp_path / "repository/metadata/timestamp.json").read_bytes()
    made.publish(bundle(tmp_path / "b.bundle", 1).path)
    (tmp_path / "repository/metadata/timestamp.json").write_bytes(old)
    with pytest.raises(TransferError, match="put an older one back"):
        made.refresh()


def test_metadata_that_somebody_wrote_is_not_signed(made, tmp_path):
    made.publish(bundle(tmp_path / "a.bundle").path)
    path = tmp_path / "repository/metadata/1.model-kws.json"
    value = json.loads(path.read_bytes())
    value["signed"]["targets"]["kws/9/rpi4.bundle"] = value["signed"]["targets"]["kws/1/rpi4.bundle"]
    path.write_text(json.dumps(value))
    with pytest.raises(TransferError, match="altered"):
        Repository.open(tmp_path / "repository", tmp_path / "keys").refresh()


def test_a_crash_before_the_timestamp_is_written_changes_nothing(made, tmp_path, monkeypatch):
    made.publish(bundle(tmp_path / "a.bundle").path)
    write = made._storage.write

    def crash(path, content):
        if path.endswith("timestamp.json"):
            raise TransferError("power cut")
        write(path, content)

    for what in (lambda: made.publish(bundle(tmp_path / "b.bundle", 1).path), lambda: made.rotate("kws")):
        with monkeypatch.context() as patch:
            patch.setattr(made._storage, "write", crash)
            with pytest.raises(TransferError, match="power cut"):
                what()
        again = Repository.open(tmp_path / "repository", tmp_path / "keys")
        assert [each.version for each in again.releases()] == [1]
    assert again.publish(tmp_path / "b.bundle").version == 2
    again.rotate("kws")
    assert again.verify() == []


def test_a_crash_while_the_root_changes_is_mended(made, tmp_path, monkeypatch):
    write = made._storage.write

    def crash(path, content):
        if path.endswith("timestamp.json"):
            raise TransferError("power cut")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(made._storage, "write", crash)
        with pytest.raises(TransferError, match="power cut"):
            made.rotate("timestamp")
    again = Repository.open(tmp_path / "repository", tmp_path / "keys")
    again.refresh()
    assert Repository.open(tmp_path / "repository").verify() == []


def test_sealed_versions_have_patches_too(made, tmp_path):
    first = made.publish(bundle(tmp_path / "a.bundle").path, seal=True)
    second = made.publish(bundle(tmp_path / "b.bundle", 1).path, seal=True)
    assert made.verify() == []
    assert second.custom["deltas"][first.sha256]["length"] < 0.6 * second.bytes
    stored = made.read(blob(second.sha256))
    assert b"params.npz" + SUFFIX.encode() in stored
    plain = made.publish(bundle(tmp_path / "c.bundle", 2).path)
    assert plain.custom["deltas"] == {}


def test_opening_what_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(TransferError, match="has no metadata/timestamp"):
        Repository.open(tmp_path / "none")
    with pytest.raises(InputError, match="no store that can be reached"):
        Repository.open("nosuch://bucket/x")


def test_without_keys_it_is_read_only(made, tmp_path):
    with pytest.raises(InputError, match="opened to read"):
        Repository.open(tmp_path / "repository").refresh()
    with pytest.raises(InputError, match="already"):
        Repository.create(tmp_path / "repository", tmp_path / "keys")
