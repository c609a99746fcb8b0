"""report.html: one evaluation and its decision as a self-contained page.

content     what the page shows, as one plain object (`tasklift report --json` prints it)
layers      risk against coverage of a layered candidate, scored again from its stages
model       the draws behind the costs, embedded so that a reader may move the assumptions
words       sentences and figures
svg, plots  charts as inline SVG
page        template, style and script put together
"""
