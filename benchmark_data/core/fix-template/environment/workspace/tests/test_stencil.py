import unittest

from stencil import fill


class Filling(unittest.TestCase):
    def test_names_and_filters(self):
        self.assertEqual(fill("Dear {{ name|title }},", {"name": "ada byron"}), "Dear Ada Byron,")

    def test_parts_of_values(self):
        self.assertEqual(fill("{{ user.name }}", {"user": {"name": "Ada"}}), "Ada")

    def test_if(self):
        self.assertEqual(fill("{% if a %}yes{% else %}no{% end %}", {"a": False}), "no")

    def test_each(self):
        self.assertEqual(fill("{% each x in xs %}<{{ x }}>{% end %}", {"xs": [1, 2]}), "<1><2>")

    def test_nested_blocks(self):
        text = "{% each row in rows %}{% each cell in row %}{{ cell }} {% end %}|{% end %}"
        self.assertEqual(fill(text, {"rows": [[1, 2], [3]]}), "1 2 |3 |")

    def test_inner_names_hide_outer_ones(self):
        self.assertEqual(fill("{% each x in xs %}{{ x }}{% end %}{{ x }}", {"xs": [1, 2], "x": 9}), "129")

    def test_what_is_not_well_formed(self):
        for text in ("{{ a", "{% if a %}", "{% loop a %}{% end %}", "{{ b }}", "{{ a|shout }}"):
            with self.subTest(text), self.assertRaises(ValueError):
                fill(text, {"a": 1})
