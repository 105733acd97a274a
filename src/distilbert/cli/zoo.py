"""`distilbert zoo`: the trained adapters that come with the package."""

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.files.records import Field, Form, check_out

FORM = Form(
    (
        Field("name"),
        Field("metric"),
        Field("score", "number"),
        Field("data"),
        Field("backbone"),
        Field("size"),
        Field("bytes", "integer", shown=False),
        Field("about"),
    )
)


def zoo(out: options.OutOption = None) -> None:
    """List the trained adapters that come with the package, their sizes and scores.

    Example: distilbert zoo
    """
    from distilbert.zoo import ZOO

    check_out(out)
    with answers_to(out, FORM) as sink:
        for row in ZOO.values():
            sink.write(
                {
                    "name": row.name,
                    "metric": row.headline,
                    "score": row.scores[row.headline],
                    "data": row.data,
                    "backbone": row.backbone,
                    "size": f"{row.size / 1e6:.2f} MB",
                    "bytes": row.size,
                    "about": row.about,
                }
            )
