"""The flows as importable modules: ``intercom.flows.sync.sync`` is the entrypoint of a deployment anywhere.

Their files are those of the checkout's folder ``flows/``, where a reader looks first; a wheel has a copy of it.
"""

from intercom import bundled

__path__ = [str(bundled.path("flows"))]
