"""The plot: well-formed SVG with the lines inside the frame, for long logs, short ones and losses of zero."""
import pathlib
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import plot  # noqa: E402

HEAD = "step,tokens,seconds,rate,loss,held_loss,exact\n"


def log(n):
    rows = [f"{i},{i * 9},{i},0.01,{8 / i:.4g},{9 / i if i % 5 == 0 or i == n else ''},"
            f"{1 - 1 / i if i % 5 == 0 or i == n else ''}\n" for i in range(1, n + 1)]
    return HEAD + "".join(rows)


def draw(text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "log.csv"
        path.write_text(text, encoding="ascii")
        return plot.draw(*plot.read(path))


class PlotTest(unittest.TestCase):
    def test_lines_lie_inside_the_frame(self):
        for n in (1, 2, 7, 100, 5000):
            with self.subTest(steps=n):
                svg = draw(log(n))
                ET.fromstring(svg)
                for points in re.findall(r'points="([^"]*)"', svg):
                    for x, y in (map(float, p.split(",")) for p in points.split()):
                        self.assertTrue(plot.LEFT <= x <= plot.WIDTH - plot.RIGHT, x)
                        self.assertTrue(plot.TOP <= y <= plot.HEIGHT - plot.BOTTOM, y)

    def test_a_loss_of_zero_is_drawn(self):
        ET.fromstring(draw(HEAD + "1,9,1,0.01,2,,\n2,9,1,0.01,0,0,1\n"))

    def test_marks_are_few_and_round(self):
        for steps in (1, 9, 10, 37, 300, 3500, 99999):
            marks = plot.step_marks(steps)
            self.assertTrue(2 <= len(marks) <= 11, (steps, marks))
            self.assertEqual(len(set(marks)), len(marks), (steps, marks))

    def test_an_empty_log_is_refused(self):
        with self.assertRaises(SystemExit):
            draw(HEAD)


if __name__ == "__main__":
    unittest.main()
