"""Who is who: the fleet's certificate authority, one-time enrolment tokens, renewal and revocation."""

from cloud.identity.authority import Authority, Issued
from cloud.identity.enrolments import Enrolments, Reach, RefusedError

__all__ = ["Authority", "Enrolments", "Issued", "Reach", "RefusedError"]
