"""Reading what an upstream answered, and what becomes of an error on the way that nobody foresaw."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from experts.bug import where
from experts.errors import ExpertError, ExpertFailed
from experts.http.upstream import Answer

log = logging.getLogger(__name__)


@contextmanager
def reading(answer: Answer, expert: str) -> Iterator[None]:
    """Around all that reads `answer`, which is closed at the end. Raises ExpertFailed for whatever is no ExpertError.

    Such an error is a gap in the reading, and logged as one. But an upstream that Shoal cannot read has failed as any
    other that fails: the next expert is asked, and the breaker hears of it.
    """
    try:
        yield
    except ExpertError:
        raise
    except Exception as error:
        log.error("bug: what the upstream of expert %s sent could not be read: %s", expert, where(error))
        raise ExpertFailed(expert, "the upstream sent what Shoal cannot read; the bug in the log says where") from error
    finally:
        answer.close()
