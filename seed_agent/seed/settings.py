"""Every limit and switch of the agent. Nothing else in the code holds a number that matters."""

# Answers that the model may give in one task (steps); after the last one, the agent stops: the step limit.
MAX_STEPS = 12

# Turns that one sub-agent gets, and how deep a team may be nested.
TEAM_TURNS = 8
TEAM_DEPTH = 2

# Tokens that one answer may have; a longer answer is cut off in the middle, tool call and all.
MAX_TOKENS = 1500

# Times that the model is asked to go on where it ran out of room.
CONTINUATIONS = 3

# Tool calls obeyed in one answer; the model is asked for one at a time when this is 1.
CALLS_PER_ANSWER = 1

# How the model asks for its tools: native | xml
PROTOCOL = "native"

# How answers come: whole | streamed. Whole ones are repeated for the agent, unseen, when a server fails in the middle.
ANSWERS = "whole"

# Characters kept of what a command printed; the rest of the output is dropped (output cut).
OUTPUT_KEPT = 2000

# Which end of a long output is kept: head | tail | both
OUTPUT_END = "head"

# Lines that one view of a file shows, and bytes of all open files together.
VIEW_LINES = 100
OPEN_BYTES = 2_000_000

# Hits that a search shows, and entries of a directory.
SEARCH_HITS = 50
TREE_ENTRIES = 200

# Seconds after which a shell command is ended (timed out).
BASH_SECONDS = 3

# Malformed tool calls in a row after which the agent gives up.
MALFORMED_ALLOWED = 3

# Tokens the dialogue may hold before it is compacted, and messages at its end that are never touched.
WINDOW_TOKENS = 100_000
NEWEST_KEPT = 8

# Characters of diffs after which they are folded into fresh views of the open files.
FOLD_AT = 12_000

# Effort that a reasoning model is asked for: default | low | medium | high
EFFORT = "default"

# Times a request is made again after the model's server failed or the connection was lost.
RETRIES = 1

# Seconds to wait before a request is made again, and for one request to be answered.
RETRY_SECONDS = 0.5
REQUEST_SECONDS = 120
