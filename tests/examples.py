"""One record of each kind with every field filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pkgrun.identity import Version
from pkgrun.records import (
    Actor,
    Blob,
    Changes,
    Contract,
    Copied,
    CopyRequest,
    Data,
    DatasetEntry,
    DatasetRecord,
    DatasetRequest,
    Environment,
    ErasureRequest,
    Exit,
    Facts,
    FileList,
    Git,
    Head,
    Heartbeat,
    ImportRequest,
    Intent,
    KeyRecord,
    Listing,
    Origin,
    Outcome,
    PhaseTime,
    Record,
    Results,
    ResultsParameters,
    ResultsSummary,
    RunError,
    RunRecord,
    Share,
    StoreRecord,
    Swept,
    TrainingRequest,
    Tree,
    Usage,
    VersionEntry,
    VersionRecord,
    Written,
)
from pkgrun.records.collecting import Doomed, Removal, Sentence, Underway, Verdict
from pkgrun.records.erasing import Receipt
from pkgrun.records.nodes import FileEntry, FolderEntry, LinkEntry, TreeNode
from pkgrun.records.passport import Passport

RUN = "01939c1e-51a0-7abc-8def-0123456789ab"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1.5)
DIGEST = "sha256:" + "ab" * 32
TREE = Tree(digest=DIGEST, files=2, bytes=10)
BLOB = Blob(digest=DIGEST, bytes=5)
BY = Actor(user="ada", host="lab", pkgrun="0.1.0")
ONE = FileList(count=1, names=("model.bin",))

ENVIRONMENT = Environment(
    mode="isolated", python="3.11.7", platform="linux-x86_64", requirements=DIGEST, lock=BLOB
)
GIT = Git(commit="c" * 40, branch="main", remote="https://example.com/r.git", path="p", dirty=False)
LISTING = Listing(
    display_name="Churn!",
    input_type="files",
    input_description="pictures",
    output_description="a guess",
    language="PYTHON",
    language_version="3.8",
    retrainable=True,
    gpu=True,
    change_log="more rows",
)
ENTRY = VersionEntry(
    package="churn",
    kind="training",
    run=RUN,
    parent=Version(1, 0),
    tree=TREE,
    source="packages/churn",
    description="the first",
    tags={"stage": "test"},
    contract=Contract(methods=("train", "save"), pipelines=("training",), servable=True),
    environment=ENVIRONMENT,
    git=GIT,
    origin=Origin(store=RUN, package="churn", version=Version(3, 4), record=DIGEST, ancestors=(DIGEST,)),
    listing=LISTING,
    created=NOW,
)
DATASET = DatasetEntry(
    dataset="rows",
    run=RUN,
    tree=TREE,
    source="data/rows",
    description="the first",
    tags={"stage": "test"},
    created=NOW,
)
COPY = CopyRequest(source="other", store=RUN)
SHARE = Share(copied=1, there=2)
COPIED = Copied(
    versions=SHARE, datasets=SHARE, runs=SHARE, receipts=1, open=1, files=2, bytes=3, records=TREE
)
ERASURE = ErasureRequest(digest=DIGEST, bytes=5, reason="asked for", affected=1, versions=("churn@1.1",))
SWEPT = Swept(objects=1, packs=2, aside=3, bytes=4)
REQUEST = TrainingRequest(
    base=Version(1, 0),
    tree=TREE,
    data="data/churn",
    parameters={"epochs": "3"},
    secrets=("TOKEN",),
    save_training_data=True,
    gpu=True,
    timeout=60.0,
    python="3.11",
    environment="isolated",
    upgrade=True,
    description="the first",
    tags={"stage": "test"},
)
ERROR = RunError(kind="user-code-failed", message="m", hint="h", phase="train", traceback="t")
FACTS = Facts(
    started=NOW,
    ended=LATER,
    phases=(PhaseTime(name="stage", started=NOW, seconds=1.5),),
    data=Data(
        source="data/churn",
        tree=TREE,
        role="input",
        mount="copy",
        attested=True,
        unstable=ONE,
        doubt="d",
        written=Written(added=ONE, changed=ONE, removed=ONE),
    ),
    snapshot=TREE,
    artifacts=TREE,
    log=BLOB,
    environment=ENVIRONMENT,
    inherited=("PATH",),
    hash_seed="0",
    changes=Changes(changed=ONE, added=ONE, removed=ONE, unexpected=ONE),
    metrics={"accuracy": 0.75},
    score=0.5,
    exit=Exit(reason="finished", code=0, signal=None),
    usage=Usage(peak_memory_bytes=1, cpu_seconds=0.5),
    warnings=("w",),
)

FULL: dict[str, Record] = {
    "store": StoreRecord(store=RUN, created=NOW),
    "tree": TreeNode(
        entries=(
            FileEntry(name="a", kind="file", digest=DIGEST, size=1, executable=True),
            FolderEntry(name="b", kind="dir", digest=DIGEST, files=1, bytes=1),
            LinkEntry(name="c", kind="symlink", target="a"),
        )
    ),
    "version": VersionRecord(**ENTRY.model_dump(), version=Version(1, 1), previous=DIGEST),
    "dataset": DatasetRecord(**DATASET.model_dump(), number=2, previous=DIGEST),
    "passport": Passport(
        store=RUN,
        package="churn",
        version=Version(1, 1),
        record=DIGEST,
        tree=DIGEST,
        ancestors=(DIGEST,),
        seal=DIGEST,
    ),
    "intent": Intent(
        run=RUN,
        kind="training",
        package="churn",
        created=NOW,
        by=BY,
        head=Head(major=1, minor=0),
        idempotency_key=DIGEST,
        training=REQUEST,
        import_=ImportRequest(source="packages/churn", tree=TREE),
        dataset="rows",
        registration=DatasetRequest(source="data/rows"),
        copy_=COPY,
        erasure=ERASURE,
    ),
    "outcome": Outcome(
        run=RUN,
        decision="COMMIT",
        created=LATER,
        entry=ENTRY,
        dataset=DATASET,
        copied=COPIED,
        erased=SWEPT,
        error=ERROR,
        facts=FACTS,
    ),
    "heartbeat": Heartbeat(
        run=RUN, at=NOW, status="running", phase="train", host="lab", boot="b", pid=7, pid_started="99"
    ),
    "key": KeyRecord(run=RUN, asked=DIGEST, created=NOW),
    "run": RunRecord(
        run=RUN,
        kind="training",
        status="successful",
        package="churn",
        version=Version(1, 1),
        dataset="rows",
        number=2,
        parent=Version(1, 0),
        created=NOW,
        by=BY,
        phase="commit",
        request=REQUEST,
        input=TREE,
        output=TREE,
        git=GIT,
        source=COPY,
        copied=COPIED,
        erasure=ERASURE,
        erased=SWEPT,
        error=ERROR,
        facts=FACTS,
    ),
    "results": Results(
        parameters=ResultsParameters(
            pipeline="training",
            inputs={"package": "churn", "version": "1.0", "train_data": None, "gpu": "False"},
            env={"epochs": "3"},
        ),
        run_summary=ResultsSummary(
            execution_time=1.5,
            start_at=0.0,
            end_at=1.5,
            outputs={"version": "1.1", "score": 0.5, "train_data": None},
        ),
    ),
    "removal": Removal(package="churn", version=Version(1, 1), created=NOW, by=BY, reason="too large"),
    "receipt": Receipt(
        digest=DIGEST,
        bytes=5,
        reason="she asked for it",
        by=BY,
        created=NOW,
        run=RUN,
        affected=1,
        versions=("churn@1.1",),
    ),
    "sentence": Sentence(
        id=RUN,
        created=NOW,
        by=BY,
        objects=(Doomed(key=f"packs/{'0' * 64}.pack", bytes=7, reason="nothing refers to it"),),
    ),
    "underway": Underway(id=RUN, runs=(RUN,)),
    "verdict": Verdict(id=RUN, kept=(0, 3)),
}
