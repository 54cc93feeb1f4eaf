"""Distribution metadata; the settings of tools stand in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent
[VERSION] = re.findall(
    r'^__version__ = "(.*)"$', (HERE / "listener/__init__.py").read_text("utf-8"), re.M
)


class SourceDistribution(sdist):  # type: ignore[misc]
    """With all of tests/; setuptools alone takes no more of it than tests/test*.py."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        tests = (str(path) for path in Path("tests").rglob("*") if path.is_file())
        own = {path for path in tests if "__pycache__" not in path}
        super().make_release_tree(base_dir, sorted(own.union(files)))


setup(
    name="conductor-hooks",
    version=VERSION,
    description="Actionable Events (Hooks) for Studio Conductor as a supervisord event listener",
    long_description=(HERE / "README.rst").read_text("utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    cmdclass={"sdist": SourceDistribution},
    # With this an editable installation is a path alone; else every start of Python runs a finder.
    package_dir={"": "."},
    packages=find_packages(include=["listener", "listener.*"]),
    package_data={
        "listener.overview.report": ["page.css", "page.html"],
        "listener.snmp": ["CLOUDIFY-MIB.txt"],
    },
    data_files=[
        ("share/conductor-hooks", ["hooks.conf", "listener/overview/alerts.yml"]),
        ("share/conductor-hooks/supervisor.d", ["supervisor.d/conductor-hooks.conf"]),
    ],
    entry_points={"console_scripts": ["conductor-hooks = listener.__main__:main"]},
    install_requires=[
        # The process that sends the events; the demo and the tests start one.
        "supervisor>=4.2.5,<5",
        # Reads hooks.conf, with line numbers.
        "PyYAML>=6.0,<7",
        # Makes and understands SNMPv3; decodes received traps, independently of our own encoder.
        "pysnmp>=7.1.30,<8",
        # Without it pysnmp can neither authenticate nor encrypt SNMPv3.
        "cryptography>=42,<51",
        # Fills in !template, in a sandbox, and the page of the report; nothing else imports it.
        "Jinja2>=3.1.6,<4",
        # Decodes a notification in a quarter of the standard library's time.
        "msgspec>=0.18.6,<1",
        # Orders the versions of a managed plugin as pip does; 26 takes versions that are none.
        "packaging>=26,<27",
        # Speaks HTTP for webhooks. Not an extra: it is small, pure and alone, and one that is missing
        # would be noticed at night.
        "urllib3>=2.2,<3",
        # The command line's verbs, options and help.
        "click>=8.1,<9",
    ],
    extras_require={
        "rabbitmq": [
            # Speaks AMQP, as Conductor itself does.
            "pika>=1.3,<2",
        ],
        "plugins": [
            # The first that installs into another environment, so that plugins need none of their own.
            "pip>=22.3",
            # Unpacks wagons, as it has made them.
            "wagon>=1.0.3,<2",
        ],
        "notify": [
            # Knows the ways to some hundred chats, mail and pagers; runs in a child process only.
            "apprise>=1.9,<3",
        ],
        "metrics": [
            # Writes Prometheus's text format, escapes and all; imported where metrics are wanted only.
            "prometheus_client>=0.20,<1",
        ],
        "test": [
            # As in "plugins" above.
            "pip>=22.3",
            # Makes the wagons that the tests upload, too, for which it wants to know the distribution.
            "wagon[dist]>=1.0.3,<2",
            "setuptools>=64",
            # As in "rabbitmq" above.
            "pika>=1.3,<2",
            # As in "notify" above.
            "apprise>=1.9,<3",
            # As in "metrics" above.
            "prometheus_client>=0.20,<1",
            # Reads the JSON Schema of hooks.conf as editors do.
            "jsonschema>=4.18,<5",
            # Verifies the signatures of webhooks as their receivers do.
            "standardwebhooks>=1,<2",
            # Reads the events of webhooks as their receivers do.
            "cloudevents>=2,<3",
            # Runs the tests; the suite's fixtures need nothing else of its kind.
            "pytest>=8,<10",
            # Finds the input nobody thought of.
            "hypothesis>=6.100,<7",
            # Shows that every branch of the core rooms is run, child processes included.
            "coverage>=7.6,<8",
            # The style and the types of the code are tests too.
            "ruff>=0.9,<1",
            "mypy>=1.14,<3",
            "types-PyYAML>=6.0,<7",
            # A second reader of the MIB file beside net-snmp and libsmi.
            "pysmi>=1.6,<3",
        ],
        "benchmark": [
            # What the listener is measured against.
            "superlance>=2,<3",
        ],
    },
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Monitoring",
    ],
)
