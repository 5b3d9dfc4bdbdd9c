"""Evidence of one request -> its journey: packets followed, put into order, told with the rules that they met."""

from lab.journey.assemble import assemble, questions

__all__ = ["assemble", "questions"]
