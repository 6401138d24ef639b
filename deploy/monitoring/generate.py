"""Write what is derived: dashboard.json from dashboard.py, prometheusrule.yaml from rules.yaml."""

import json
import textwrap
from pathlib import Path

from dashboard import dashboard

HERE = Path(__file__).parent
HEADER = """\
# Written by generate.py from rules.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: dragoman
  namespace: dragoman
  labels:
    app.kubernetes.io/name: dragoman
spec:
"""


def derived() -> dict[str, str]:
    """Files and what they hold."""
    rules = (HERE / "rules.yaml").read_text("utf-8")
    groups = rules[rules.index("groups:") :]
    return {
        "dashboard.json": json.dumps(dashboard(), indent=2) + "\n",
        "prometheusrule.yaml": HEADER + textwrap.indent(groups, "  "),
    }


if __name__ == "__main__":
    for name, text in derived().items():
        (HERE / name).write_text(text, "utf-8")
