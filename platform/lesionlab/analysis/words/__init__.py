"""All wording of reports, tables, figures and pages. One module per kind; nothing reads a sentence back.

Statistics give enums and dataclasses with the numbers in them; this room turns them into English. A change of wording
touches this room alone. Layout is elsewhere: in sheets, figures and the templates of pages.
"""
