"""`distilbert zoo`: the trained adapters that come with the package."""

from distilbert.cli import options
from distilbert.cli.answers import answers_to
from distilbert.files.records import Field, Form, check_out

FORM = Form(
    (
        Field("name"),
        Field("about"),
        Field("backbone"),
        Field("megabytes", "number"),
        Field("metric"),
        Field("score", "number"),
        Field("data"),
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
                    "about": row.about,
                    "backbone": row.backbone,
                    "megabytes": round(row.size / 1e6, 2),
                    "metric": row.headline,
                    "score": row.scores[row.headline],
                    "data": row.data,
                }
            )
