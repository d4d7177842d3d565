"""What one agent has been told, said and shown. It only grows: each request begins with the one before it, byte for
byte, which is what a provider's prompt cache needs. Two things start it anew, and are counted: folding and compacting.
"""

import json
import re

from seed import settings

MARKED = (0, 1, 16, 64)
"""Which messages carry a mark for the prompt cache: a provider takes four. Marks stay where they are, or the bytes
before them would change."""


class Context:
    def __init__(self, system, instruction):
        self.messages, self.sizes = [], []
        self.diffs = 0
        self.add({"role": "system", "content": system})
        self.add({"role": "user", "content": instruction})

    def add(self, message, *, diff=0):
        """Append one message; diff: characters in it that tell how an open file changed."""
        if len(self.messages) in MARKED and isinstance(message.get("content"), str) and message["content"]:
            mark = {"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}
            message = {**message, "content": [mark]}
        self.messages.append(message)
        self.sizes.append(len(json.dumps(message)))
        self.diffs += diff

    def tokens(self):
        """A rough count: four characters each."""
        return sum(self.sizes) // 4

    def request(self, head):
        """The body; messages stand last, so that a longer dialogue is a longer body and nothing else."""
        start = json.dumps(head)[:-1]
        return f'{start}, "messages": {json.dumps(self.messages)}}}'.encode()

    def compact(self, gist):
        """Drop the middle of the dialogue, keeping of each message what `gist` says of it. False: there is none."""
        end = len(self.messages) - settings.NEWEST_KEPT
        while end < len(self.messages) and self.messages[end]["role"] == "tool":
            end += 1  # never a result without its call
        if end <= 3:
            return False
        lines = [line for message in self.messages[2:end] for line in gist(message)]
        note = "[The dialogue was compacted. What happened before, one line each:]\n" + "\n".join(lines)
        self._anew([{"role": "user", "content": note}, *self.messages[end:]])
        return True

    def fold(self, views):
        """Replace the diffs, and the views that they belong to, by what the open files hold now."""
        kept = [{**m, "content": _folded(m["content"])} for m in self.messages[2:]]
        now = "\n\n".join(views)
        self._anew([*kept, {"role": "user", "content": f"[The open files as they are now:]\n{now}"}])

    def _anew(self, later):
        first, self.messages, self.sizes, self.diffs = self.messages[:2], [], [], 0
        for message in (*first, *later):
            self.add(message)


def text_of(message):
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or ""


def _folded(content):
    text = text_of({"content": content})
    frame, text = re.match(r'(<result tool="[^"\n]*">\n)?(.*)', text, re.DOTALL).groups("")
    if text.startswith("[view ") or "\n[changed on disk " in text or text.startswith("[changed on disk "):
        head, end = text.split("\n", 1)[0], "\n</result>" if frame else ""
        return f"{frame}{head}\n[folded: the file stands below as it is now]{end}"
    return content
