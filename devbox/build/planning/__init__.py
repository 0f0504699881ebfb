"""From checked instructions to the steps that a build needs; nothing is carried out."""
