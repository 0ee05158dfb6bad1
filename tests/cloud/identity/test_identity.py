"""The authority, enrolment and renewal: what is given, and to whom it is not."""

import base64
import contextlib
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud import alerts
from cloud.audit import Audit
from cloud.database import tables
from cloud.fleet import Fleet
from cloud.identity import Authority, Enrolments, Reach, RefusedError
from cloud.identity.authority import read_csr
from cloud.identity.enrolments import renewal
from edge_runtime.errors import InputError, LittoralError


def request(key=None, name="whoever", curve=None):
    """A key, and a certificate request of it."""
    key = key or ec.generate_private_key(curve or ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, digest)
    return key, signed.public_bytes(serialization.Encoding.PEM).decode()


class Clock:
    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "ca")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def enrolments(database, authority, clock):
    reach = Reach(
        "https://cloud:8443", ("mqtts://a:1", "mqtts://b:2"), "https://cloud:8443/repository/", lambda: b"r"
    )
    return Enrolments(database, authority, reach, clock=clock)


def token_of(string):
    return string.split("#")[1]


def enrolled(enrolments, name="pi-1", **options):
    key, csr = request()
    return key, enrolments.redeem(token_of(enrolments.token(name, **options)), csr)


def renewing(key, certificate, clock, csr=None):
    csr = csr or request()[1]
    signature = key.sign(renewal(int(clock.now), csr), ec.ECDSA(hashes.SHA256()))
    signed = base64.b64encode(signature).decode()
    return {"certificate": certificate, "csr": csr, "time": int(clock.now), "signature": signed}


# ------------------------------------------------------------------------------------------ the authority
def test_a_device_is_a_client_and_has_the_name_that_it_was_given(authority):
    _, csr = request(name="controller")
    found = x509.load_pem_x509_certificate(authority.issue(csr, "pi-1", 30).pem.encode())
    assert found.subject.rfc4514_string() == "CN=pi-1"
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.verify(found.public_bytes(serialization.Encoding.PEM)) == found


def test_a_gateway_serves_where_it_was_said(authority):
    _, csr = request()
    found = x509.load_pem_x509_certificate(
        authority.issue(csr, "home", 30, hosts=["home", "10.0.0.1"]).pem.encode()
    )
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["home"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


@pytest.mark.parametrize("csr", ["", "nonsense", "x" * 10_000, request()[1].replace("M", "N", 3)])
def test_damaged_requests(authority, csr):
    with pytest.raises(InputError, match="certificate request"):
        authority.issue(csr, "pi-1")


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())]
)
def test_other_keys(authority, key):
    with pytest.raises(InputError, match="P-256"):
        authority.issue(request(key)[1], "pi-1")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_break_the_parser(noise, at):
    content = _GOOD[:at] + noise + _GOOD[at + len(noise) :]
    with contextlib.suppress(LittoralError):
        read_csr(content)


_GOOD = request()[1].encode()


def test_another_authoritys_certificates_are_refused(authority, tmp_path):
    other = Authority.create(tmp_path / "other").issue(request()[1], "pi-1")
    with pytest.raises(InputError, match="did not give out"):
        authority.verify(other.pem)


def test_expired_certificates_are_refused(authority):
    with pytest.raises(InputError, match="expired"):
        authority.verify(authority.issue(request()[1], "pi-1", -0.01).pem)


def test_the_revocation_list_holds_what_was_revoked(authority):
    issued = authority.issue(request()[1], "pi-1")
    authority.write_crl([(issued.serial, time.time())])
    crl = x509.load_pem_x509_crl(authority.crl.read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(int(issued.serial, 16))
    ca = x509.load_pem_x509_certificate(authority.pem.encode())
    assert crl.is_signature_valid(ca.public_key())


def test_the_servers_certificate_is_kept_until_it_must_be_made_anew(authority, tmp_path):
    def made(*hosts, days=365):
        return authority.server(tmp_path / "server", "server", hosts, days)[0].read_bytes()

    first = made("localhost")
    assert made("localhost") == first
    other = made("localhost", "10.0.0.1", days=10)
    assert other != first
    assert made("localhost", "10.0.0.1") != other  # which had only ten days


def test_keys_are_for_their_owner_alone(authority):
    assert authority.key.stat().st_mode & 0o77 == 0


def test_there_is_one_authority_in_a_folder(authority):
    with pytest.raises(InputError, match="already"):
        Authority.create(authority.folder)
    assert Authority(authority.folder).digest == authority.digest


def test_no_authority(tmp_path):
    with pytest.raises(InputError, match="cloud init"):
        Authority(tmp_path)


# ------------------------------------------------------------------------------------------ enrolment
def test_a_token_becomes_a_certificate(enrolments, database, authority):
    string = enrolments.token("pi-1", site="home", labels={"room": "hall"}, actor="ada")
    where, token, digest = string.split("#")
    assert (where, digest) == ("https://cloud:8443/", authority.digest)
    _, csr = request()
    found = enrolments.redeem(token, csr)
    assert (found["device"], found["site"], found["ca"]) == ("pi-1", "home", authority.pem)
    assert sorted(found["brokers"]) == ["mqtts://a:1", "mqtts://b:2"]
    assert base64.b64decode(found["root"]) == b"r"
    authority.verify(found["certificate"])
    device = Fleet(database).device("pi-1")
    assert (device.site, device.labels, device.status) == ("home", {"room": "hall"}, "enrolled")
    assert [event.action for event in Audit(database).page()] == ["enrolment", "enrol"]
    assert enrolments.pending() == []


def test_a_token_serves_one_key_only(enrolments, database):
    token = token_of(enrolments.token("pi-1"))
    _, csr = request()
    first = enrolments.redeem(token, csr)
    with pytest.raises(RefusedError, match="has been used"):
        enrolments.redeem(token, request()[1])
    assert [each.subject for each in alerts.open_alerts(database)] == ["device/pi-1"]
    # Who lost the answer may ask again with the same key, and what it had is revoked.
    again = enrolments.redeem(token, csr)
    assert again["certificate"] != first["certificate"]
    assert len(enrolments.revoked()) == 1
    assert alerts.open_alerts(database) == []
    assert "enrol-refused" in [event.action for event in Audit(database).page()]


def test_expired_tokens(enrolments, clock, database):
    token = token_of(enrolments.token("pi-1", seconds=60))
    clock.now += 61
    with pytest.raises(RefusedError, match="expired"):
        enrolments.redeem(token, request()[1])
    with pytest.raises(InputError):
        Fleet(database).device("pi-1")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_guessed_tokens(enrolments, token):
    with pytest.raises(RefusedError, match="not known"):
        enrolments.redeem(token, _GOOD.decode())


def test_refusals_do_not_fill_the_log(enrolments, database):
    for _ in range(300):
        with pytest.raises(RefusedError):
            enrolments.redeem("guess", _GOOD.decode())
    assert Audit(database).verify()[0] < 150


def test_a_bad_request_does_not_use_the_token_up(enrolments):
    token = token_of(enrolments.token("pi-1"))
    with pytest.raises(RefusedError, match="certificate request"):
        enrolments.redeem(token, "nonsense")
    assert enrolments.redeem(token, request()[1])["device"] == "pi-1"


def test_only_the_digest_is_kept(enrolments, database):
    token = token_of(enrolments.token("pi-1"))
    with database.read() as connection:
        for table in (tables.enrolments, tables.events):
            rows = connection.execute(table.select()).all()
            assert rows
            assert token not in str(rows)


@pytest.mark.parametrize("name", ["", "controller", "Coordinator", "a/b", "+", "#", "a b", "x" * 65, "ä"])
def test_names_that_nobody_may_have(enrolments, name):
    with pytest.raises(InputError):
        enrolments.token(name)


def test_enrolling_anew_revokes_the_old(enrolments):
    _, first = enrolled(enrolments)
    _, second = enrolled(enrolments)
    serial = x509.load_pem_x509_certificate(first["certificate"].encode()).serial_number
    assert [each for each, _ in enrolments.revoked()] == [f"{serial:x}"]
    assert second["certificate"] != first["certificate"]


# ------------------------------------------------------------------------------------------ renewal
def test_a_good_certificate_becomes_a_newer_one(enrolments, clock, authority, database):
    key, first = enrolled(enrolments)
    found = enrolments.renew(renewing(key, first["certificate"], clock))
    authority.verify(found["certificate"])
    assert found["device"] == "pi-1"
    # The old one still works: the answer may have been lost.
    assert enrolments.renew(renewing(key, first["certificate"], clock))
    assert Audit(database).latest(1)[0].action == "renew"


def test_a_gateway_keeps_its_hosts(enrolments, clock):
    key, first = enrolled(enrolments, "home", site="home", hosts=["10.0.0.1"])
    found = x509.load_pem_x509_certificate(
        enrolments.renew(renewing(key, first["certificate"], clock))["certificate"].encode()
    )
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


def test_another_key_cannot_renew(enrolments, clock):
    _, first = enrolled(enrolments)
    thief, _ = request()
    with pytest.raises(RefusedError, match="signature"):
        enrolments.renew(renewing(thief, first["certificate"], clock))


def test_a_signature_is_for_one_request(enrolments, clock):
    key, first = enrolled(enrolments)
    asked = renewing(key, first["certificate"], clock)
    with pytest.raises(RefusedError, match="signature"):
        enrolments.renew({**asked, "csr": request()[1]})
    clock.now += 7200
    with pytest.raises(RefusedError, match="hour"):
        enrolments.renew(asked)


def test_a_retired_device_cannot_renew(enrolments, clock, database):
    key, first = enrolled(enrolments)
    Fleet(database).retire("pi-1")
    with pytest.raises(RefusedError, match="revoked"):
        enrolments.renew(renewing(key, first["certificate"], clock))
    assert Audit(database).latest(1)[0].action == "renew-refused"


def test_an_expired_certificate_cannot_renew(database, authority, clock):
    enrolments = Enrolments(database, authority, days=-0.01, clock=clock)
    key, first = enrolled(enrolments)
    with pytest.raises(RefusedError, match="expired"):
        enrolments.renew(renewing(key, first["certificate"], clock))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["certificate", "csr", "time", "signature", "x"]),
        st.one_of(
            st.none(), st.text(max_size=50), st.integers(), st.floats(), st.lists(st.text(), max_size=2)
        ),
    )
)
def test_any_renewal_is_answered_or_refused(enrolments, asked):
    with pytest.raises(RefusedError):
        enrolments.renew(asked)
